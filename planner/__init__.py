"""From a Matrix and a Job to a Plan; pure."""
