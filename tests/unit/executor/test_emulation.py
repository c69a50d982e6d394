from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datasets.errors import InputError
from executor.cli import execute
from executor.configuration import link_specs
from executor.emulation import PLAIN, Emulation
from executor.firewall import nft_script, peer_rules
from executor.placement import LinkSpec, Placed, Ports
from executor.scale import scale_for
from tests.local import relayed_plan


def test_links_get_half_of_their_round_trip_each_way_and_the_loss() -> None:
    plan = relayed_plan()
    links = link_specs(plan, scale_for(plan, machine_gbps=1.0, moved_bytes=1 << 20))
    assert PLAIN.applied(links, plan) == links
    assert not any(link.is_emulated for link in links)
    found = Emulation(rtt=True, loss=0.02).applied(links, plan)
    assert {(link.delay_ms, link.loss) for link in found} == {(50.0, 0.02)}
    assert [link.bytes_per_s for link in found] == [link.bytes_per_s for link in links]
    assert all(link.is_emulated for link in found)


@pytest.mark.parametrize("loss", [-0.1, 1.0, 7.0])
def test_an_impossible_share_is_refused(loss: float) -> None:
    with pytest.raises(InputError, match="below 1"):
        Emulation(loss=loss)


def test_only_a_provider_with_links_can_emulate() -> None:
    PLAIN.require("loopback")
    Emulation(rtt=True).require("netns")
    with pytest.raises(InputError, match="The provider loopback cannot emulate"):
        Emulation(loss=0.1).require("loopback")


def test_the_command_line_refuses_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(relayed_plan().as_json()))
    (tmp_path / "source").write_bytes(b"x")
    words = [str(tmp_path / "plan.json"), "--source", str(tmp_path / "source")]
    words += ["--destination", str(tmp_path / "there"), "--provider", "loopback", "--dry-run"]
    done = CliRunner().invoke(execute, [*words, "--emulate", "rtt"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception).count(".") == 1
    done = CliRunner().invoke(execute, [*words, "--emulate-loss", "2"])
    assert isinstance(done.exception, InputError)
    assert CliRunner().invoke(execute, words).exit_code == 0


def test_the_data_ports_rules_are_the_transports_own() -> None:
    placed = {
        name: Placed(address=address, client_address="10.1.255.1", control_address=address)
        for name, address in (("a#0", "10.1.0.1"), ("b#0", "10.1.0.2"))
    }
    links = [LinkSpec(src="a#0", dst="b#0", bytes_per_s=1.0)]
    for gateway, side in (("b#0", "dport"), ("a#0", "sport")):
        rules = peer_rules(
            gateway, links=links, placed=placed, ports=Ports(data=7400), transport="udp"
        )
        script = nft_script("t", placed[gateway].address, rules, replace=False)
        assert f"udp {side} 7400 counter accept" in script
        assert f"tcp {side} 7401" in script
        assert f"tcp {side} 7400" not in script
        assert "udp sport 7401" not in script
