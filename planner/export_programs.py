"""The programs that stand beside an exported network: they read its CSV files and nothing else.

They are text here, not modules: each runs in another simulator's own environment.
"""

from __future__ import annotations

SIMGRID_PROGRAM = '''\
"""Replay the lanes of a plan in SimGrid 4 and print the makespan beside the predicted one.

    python run_simgrid.py                 needs the Python package simgrid; run it in this folder
"""

import csv
import ctypes
import importlib.util
import json
import pathlib
import sys

# The package does not find its own library where it lies beside it: load that first.
package = importlib.util.find_spec("simgrid").origin
for library in sorted(pathlib.Path(package).parent.glob("libsimgrid.so.*")):
    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)

from simgrid import Comm, Engine, Host

engine = Engine(sys.argv)
engine.load_platform("platform.xml")
with open("flows.csv", newline="") as file:
    lanes = list(csv.DictReader(file))
ended = {}


def move(lane):
    """One lane: all its bytes from its first gateway to its last, as a fluid."""
    start, end = Host.by_name(f"lane {lane} from"), Host.by_name(f"lane {lane} to")
    Comm.sendto_async(start, end, sizes[lane]).wait()
    ended[lane] = Engine.clock


sizes = {row["lane"]: int(row["bytes"]) for row in lanes}
for row in lanes:
    Host.by_name(f"lane {row['lane']} from").add_actor(f"lane {row['lane']}", move, row["lane"])
engine.run()
with open("summary.json") as file:
    summary = json.load(file)
predicted_s = summary["predicted_makespan_s"]
print(
    json.dumps(
        {
            "plan": summary["plan"],
            "predicted_makespan_s": predicted_s,
            "simulated_makespan_s": max(ended.values()),
            "ratio": max(ended.values()) / predicted_s,
        }
    )
)
'''

NS3_PROGRAM = """\
// Replay the lanes of a plan in ns-3, packet by packet, and print the goodput of each hop.
//
// Copy this folder into ns-3's scratch/ and run it from there, or compile it against an installed
// ns-3 (3.40 or later). It reads gateways.csv, wires.csv and hops.csv from --folder (default .).
//
//   --rateShare=0.001   every rate is scaled by this: packets at cloud rates would take weeks
//   --seconds=30        how long each hop sends; its bytes are its rate times this
//
// A gateway is three nodes: itself, its card (egress out, ingress in) and its door to other clouds
// (public egress). A wire joins the cards of two gateways at what the planned connections carry.
// Each hop of a lane is a TCP flow at the lane's rate; relays start with their source, as a
// pipeline does. Measured rates are goodput, so links are wider by what headers take.

#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"

#include <cstdint>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using namespace ns3;

namespace
{

const uint32_t SEGMENT_BYTES = 1448;
// Headers of TCP with timestamps, IPv4 and point-to-point framing, and acknowledgements coming
// the other way.
const double HEADERS = 1.0 + 120.0 / SEGMENT_BYTES;

using Row = std::map<std::string, std::string>;

std::vector<Row>
Rows(const std::string& path)
{
    std::ifstream file(path);
    NS_ABORT_MSG_UNLESS(file, "cannot read " << path);
    std::string line;
    std::vector<std::string> names;
    std::vector<Row> rows;
    while (std::getline(file, line))
    {
        std::vector<std::string> cells;
        std::stringstream text(line);
        std::string cell;
        while (std::getline(text, cell, ','))
        {
            cells.push_back(cell);
        }
        if (names.empty())
        {
            names = cells;
            continue;
        }
        Row row;
        for (std::size_t at = 0; at < names.size() && at < cells.size(); ++at)
        {
            row[names[at]] = cells[at];
        }
        rows.push_back(row);
    }
    return rows;
}

DataRate
Rate(double gbps, double share)
{
    return DataRate(static_cast<uint64_t>(gbps * 1e9 * share * HEADERS) + 1);
}

Ipv4Address
Join(Ptr<Node> from, Ptr<Node> to, DataRate out, DataRate back, Time delay)
{
    static Ipv4AddressHelper addresses("10.0.0.0", "255.255.255.252");
    PointToPointHelper link;
    link.SetChannelAttribute("Delay", TimeValue(delay));
    link.SetQueue("ns3::DropTailQueue", "MaxSize", QueueSizeValue(QueueSize("4000p")));
    NetDeviceContainer devices = link.Install(from, to);
    devices.Get(0)->SetAttribute("DataRate", DataRateValue(out));
    devices.Get(1)->SetAttribute("DataRate", DataRateValue(back));
    Ipv4InterfaceContainer given = addresses.Assign(devices);
    addresses.NewNetwork();
    return given.GetAddress(0);
}

struct Hop
{
    std::string name;
    uint64_t bytes;
    uint64_t received;
    double endedS;
};

void
Received(Hop* hop, Ptr<const Packet> packet, const Address&)
{
    hop->received += packet->GetSize();
    if (hop->received >= hop->bytes && hop->endedS < 0)
    {
        hop->endedS = Simulator::Now().GetSeconds();
    }
}

} // namespace

int
main(int argc, char* argv[])
{
    double share = 1e-3;
    double seconds = 30.0;
    std::string folder = ".";
    CommandLine command(__FILE__);
    command.AddValue("rateShare", "every rate is scaled by this", share);
    command.AddValue("seconds", "how long each hop sends", seconds);
    command.AddValue("folder", "where the CSV files are", folder);
    command.Parse(argc, argv);

    Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(SEGMENT_BYTES));
    Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(1 << 26));
    Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(1 << 26));
    Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(64));

    std::map<std::string, Ptr<Node>> gateways;
    std::map<std::string, Ptr<Node>> cards;
    std::map<std::string, Ptr<Node>> doors;
    std::map<std::string, Ipv4Address> addresses;
    InternetStackHelper internet;
    for (const Row& row : Rows(folder + "/gateways.csv"))
    {
        const std::string name = row.at("gateway");
        gateways[name] = CreateObject<Node>();
        cards[name] = CreateObject<Node>();
        doors[name] = CreateObject<Node>();
        internet.Install(gateways[name]);
        internet.Install(cards[name]);
        internet.Install(doors[name]);
        const DataRate out = Rate(std::stod(row.at("egress_gbps")), share);
        const DataRate open = Rate(std::stod(row.at("egress_public_gbps")), share);
        const DataRate in = Rate(std::stod(row.at("ingress_gbps")), share);
        addresses[name] = Join(gateways[name], cards[name], out, in, Time(0));
        Join(cards[name], doors[name], open, in, Time(0));
    }
    for (const Row& row : Rows(folder + "/wires.csv"))
    {
        const std::string src = row.at("src");
        const bool crosses = row.at("crosses_clouds") == "1";
        const DataRate rate = Rate(std::stod(row.at("gbps")), share);
        Join(crosses ? doors[src] : cards[src],
             cards[row.at("dst")],
             rate,
             rate,
             Seconds(std::stod(row.at("delay_s"))));
    }
    Ipv4GlobalRoutingHelper::PopulateRoutingTables();

    std::vector<Hop> hops;
    const std::vector<Row> flows = Rows(folder + "/hops.csv");
    hops.reserve(flows.size());
    uint16_t port = 10000;
    for (const Row& row : flows)
    {
        const double bps = std::stod(row.at("gbps")) * 1e9 * share;
        const auto bytes = static_cast<uint64_t>(bps * seconds / 8.0);
        hops.push_back({row.at("lane") + " " + row.at("src") + " " + row.at("dst"), bytes, 0, -1});
        const Ptr<Node> to = gateways[row.at("dst")];
        PacketSinkHelper sink("ns3::TcpSocketFactory",
                              InetSocketAddress(Ipv4Address::GetAny(), port));
        ApplicationContainer sinks = sink.Install(to);
        sinks.Get(0)->TraceConnectWithoutContext("Rx", MakeBoundCallback(&Received, &hops.back()));
        OnOffHelper source("ns3::TcpSocketFactory",
                           InetSocketAddress(addresses[row.at("dst")], port));
        source.SetConstantRate(DataRate(static_cast<uint64_t>(bps) + 1), SEGMENT_BYTES);
        source.SetAttribute("MaxBytes", UintegerValue(bytes));
        source.Install(gateways[row.at("src")]).Start(Seconds(0));
        ++port;
    }
    Simulator::Stop(Seconds(seconds * 4 + 60));
    Simulator::Run();
    double longest = 0;
    std::cout << "lane src dst bytes received seconds gbps_at_full_rate" << std::endl;
    for (const Hop& hop : hops)
    {
        const double took = hop.endedS < 0 ? seconds * 4 + 60 : hop.endedS;
        longest = std::max(longest, took);
        std::cout << hop.name << " " << hop.bytes << " " << hop.received << " " << took << " "
                  << static_cast<double>(hop.received) * 8.0 / took / share / 1e9 << std::endl;
    }
    std::cout << "makespan_over_planned " << std::setprecision(6) << longest / seconds << std::endl;
    Simulator::Destroy();
    return 0;
}
"""
