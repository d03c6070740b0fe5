// A terminal that does one step for each line of its input, with no other time than it is told, for replays in lockstep:
//
//    tick <ms> <symbol> <bid> <ask>   a quote comes in: the clock is at least there, the broker looks at stops, OnTick
//    gap <ms> <symbol> <bid> <ask>    the same behind a jump: stops and targets are filled at this quote
//    clock <ms>                       the clock jumps there; GetTickCount64 goes on with it, but never back
//    offset <seconds>                 the broker's clock is so far ahead of UTC from now on
//    close <ticket>                   somebody closes a position by hand
//    timer [n]                        OnTimer, n times
//    quit                             OnDeinit
//
// Times are epoch milliseconds, UTC. After each line, and after OnInit, it says `ok positions=1 open=0 waiting=0 deals=0`:
// open positions, signals that are not over, ticks and deals that wait for the bridge. Ticks are kept in store.csv, for a
// terminal that is killed finds them there again.
#pragma once

inline void advance_clock(long utc_ms) {
    SteppedClock& clock = stepped_clock();
    if (utc_ms > clock.utc_ms) clock.ticks += static_cast<ulong>(utc_ms - clock.utc_ms);
    clock.utc_ms = utc_ms;
}

inline MqlTick tick_at(long ms, double bid, double ask) { return {ms / 1000, bid, ask, 0.0, 1, ms, 0x406, 0.0}; }

inline void load_ticks() {
    std::ifstream file("store.csv");
    for (std::string line; std::getline(file, line);) {
        Array<string> p;
        if (StringSplit(string(line), ',', p) == 4) tick_store()[p[1].s].push_back(tick_at(StringToInteger(p[0]), StringToDouble(p[2]), StringToDouble(p[3])));
    }
}

inline void quote_comes(std::istringstream& words, bool jumped) {
    static std::ofstream kept("store.csv", std::ios::app);
    long ms = 0;
    double bid = 0, ask = 0;
    std::string symbol;
    if (!(words >> ms >> symbol >> bid >> ask)) throw std::invalid_argument("a tick is <ms> <symbol> <bid> <ask>");
    if (ms > stepped_clock().utc_ms) advance_clock(ms);
    MqlTick tick = tick_at(ms + broker_ms() - true_utc_ms(), bid, ask);
    kept << std::setprecision(12) << tick.time_msc << ',' << symbol << ',' << bid << ',' << ask << std::endl;
    receive_tick(string(symbol), tick, jumped);
    OnTick();
}

inline void close_by_hand(ulong ticket) {
    MqlTick tick{};
    if (!PositionSelectByTicket(ticket)) throw std::invalid_argument("no such position");
    Position p = broker().selected;
    p.magic = 0;
    if (SymbolInfoTick(p.symbol, tick)) close_position(p, p.type == 0 ? tick.bid : tick.ask, DEAL_REASON_CLIENT, "");
}

inline void step(const std::string& line) {
    std::istringstream words(line);
    std::string what;
    long number = 1;
    words >> what;
    if (what == "tick" || what == "gap") quote_comes(words, what == "gap");
    else if (words >> number; what == "timer") while (number-- > 0) OnTimer();
    else if (what == "clock") advance_clock(number);
    else if (what == "close") close_by_hand(static_cast<ulong>(number));
    else if (what == "offset") scenario()["broker_offset_s"] = std::to_string(number);
    else throw std::invalid_argument("no such step");
}

inline void say_state() {
    int open = 0;
    for (int i = 0; i < ArraySize(g_journal.items); i++) open += g_journal.items[i].phase != SEQ_OVER;
    Print("ok positions=", PositionsTotal(), " open=", open, " waiting=", g_ticks.Waiting(), " deals=", g_deals.Waiting());
}

inline int stepped_main() {
    stepped_clock().on = true;
    stepped_clock().utc_ms = static_cast<long>(number_of("clock.simulated_ms", 0));
    load_ticks();
    if (int refused = OnInit(); refused != INIT_SUCCEEDED) return refused;
    say_state();
    for (std::string line; std::getline(std::cin, line) && line != "quit";) {
        try {
            step(line);
            say_state();
        } catch (const std::exception& error) {
            Print("error ", string(error.what()), ": ", string(line));
        }
    }
    OnDeinit(0);
    return 0;
}
