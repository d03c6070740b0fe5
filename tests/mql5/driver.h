// Lives as a terminal lives: loads the expert, feeds ticks.csv (time_msc,symbol,bid,ask), fires its events, and ends
// it when a file named `stop` appears. What lies in the terminal's store at the start is row `preloaded` and before.
// With stepped=1 the same program lives by its input instead: driver_replay.h.
#pragma once
#include "driver_replay.h"

int main() {
    if (number_of("stepped", 0) > 0) return stepped_main();
    std::vector<std::pair<string, MqlTick>> rows;
    std::ifstream file("ticks.csv");
    for (std::string line; std::getline(file, line);) {
        Array<string> p;
        StringSplit(string(line), ',', p);
        long ms = StringToInteger(p[0]);
        rows.push_back({p[1], {ms / 1000, StringToDouble(p[2]), StringToDouble(p[3]), 0.0, 1, ms, 0x406, 0.0}});
    }
    std::size_t fed = 0;
    auto feed = [&](std::size_t until) {
        for (; fed < std::min(until, rows.size()); fed++) receive_tick(rows[fed].first, rows[fed].second);
    };
    feed(static_cast<std::size_t>(number_of("preloaded", 1)));
    // fed_by_clock=1: each row comes when its time has come; what came before the start lies in the store.
    bool by_clock = number_of("fed_by_clock", 0) > 0;
    auto due = [&] { std::size_t n = fed; while (n < rows.size() && rows[n].second.time_msc <= broker_ms()) n++; return n; };
    if (by_clock) for (std::size_t until = due(); fed < until; fed++) tick_store()[rows[fed].first.s].push_back(rows[fed].second);
    if (int refused = OnInit(); refused != INIT_SUCCEEDED) return refused;
    auto pause = std::chrono::milliseconds(static_cast<long>(number_of("pause_ms", 2)));
    double longest_event = 0;
    while (access("stop", F_OK) != 0) {
        if (fed < rows.size()) {
            feed(by_clock ? due() : fed + static_cast<std::size_t>(number_of("ticks_per_event", 100)));
            OnTick();
        }
        if (is_replayed()) begin_event();
        ulong began = GetTickCount64();
        OnTimer();
        longest_event = std::max(longest_event, static_cast<double>(GetTickCount64() - began));
        std::this_thread::sleep_for(pause);
        skipped_ms() += number_of("skip_ms", 200);
    }
    OnDeinit(0);
    Print("longest request ", longest_request_ms(), " ms, longest event ", longest_event, " ms");
    return 0;
}
