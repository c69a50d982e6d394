"""One gateway process: source, relay or destination."""
