// Quotes, account, positions and history. What the broker did is appended to broker.txt before it answers, so that it
// outlives an expert that is killed, as a broker does. Stops and targets are watched at every tick, as the backtest has
// them: filled at their price, and at the quote where the market jumped beyond (the first tick of a bar of
// broker.bar_ms, or one that the driver calls a gap). broker.slippage_points goes against all but targets.
#pragma once
#include <csignal>
#include <iomanip>

struct MqlTick { datetime time; double bid, ask, last; ulong volume; long time_msc; uint flags; double volume_real; };
inline std::map<std::string, std::vector<MqlTick>>& tick_store() { static std::map<std::string, std::vector<MqlTick>> all; return all; }
inline bool known_symbol(const string& n) { return scenario().contains("symbol." + n.s); }
inline double of_symbol(const string& n, const std::string& what, double otherwise) { return number_of("symbol." + n.s + "." + what, otherwise); }
inline bool SymbolSelect(const string& n, bool) { return known_symbol(n); }
inline bool SymbolInfoTick(const string& n, MqlTick& tick) {
    auto& ticks = tick_store()[n.s];
    if (ticks.empty()) return false;
    tick = ticks.back();
    return true;
}
const uint COPY_TICKS_ALL = 0xffffffff;
inline int CopyTicks(const string& n, Array<MqlTick>& out, uint, ulong from, uint count) {
    auto& ticks = tick_store()[n.s];
    auto at = std::lower_bound(ticks.begin(), ticks.end(), static_cast<long>(from), [](const MqlTick& t, long ms) { return t.time_msc < ms; });
    out.items.assign(at, at + std::min<long>(ticks.end() - at, count));
    return ArraySize(out);
}

enum ENUM_SYMBOL_INFO_INTEGER { SYMBOL_DIGITS, SYMBOL_TRADE_MODE, SYMBOL_TRADE_STOPS_LEVEL, SYMBOL_TRADE_FREEZE_LEVEL, SYMBOL_FILLING_MODE, SYMBOL_TRADE_EXEMODE };
enum ENUM_SYMBOL_INFO_DOUBLE { SYMBOL_POINT, SYMBOL_VOLUME_MIN, SYMBOL_VOLUME_MAX, SYMBOL_VOLUME_STEP, SYMBOL_TRADE_CONTRACT_SIZE, SYMBOL_TRADE_TICK_SIZE, SYMBOL_TRADE_TICK_VALUE };
enum { SYMBOL_TRADE_MODE_DISABLED, SYMBOL_TRADE_MODE_LONGONLY, SYMBOL_TRADE_MODE_SHORTONLY, SYMBOL_TRADE_MODE_CLOSEONLY, SYMBOL_TRADE_MODE_FULL };
enum { SYMBOL_TRADE_EXECUTION_REQUEST, SYMBOL_TRADE_EXECUTION_INSTANT, SYMBOL_TRADE_EXECUTION_MARKET, SYMBOL_TRADE_EXECUTION_EXCHANGE };
enum { SYMBOL_FILLING_FOK = 1, SYMBOL_FILLING_IOC = 2 };
enum ENUM_ORDER_TYPE_FILLING { ORDER_FILLING_FOK, ORDER_FILLING_IOC, ORDER_FILLING_RETURN };
inline long SymbolInfoInteger(const string& n, ENUM_SYMBOL_INFO_INTEGER what) {
    const char* names[] = {"digits", "trade_mode", "stops", "freeze", "filling", "execution"};
    const double usual[] = {5, 4, 0, 0, 2, 2};
    return static_cast<long>(of_symbol(n, names[what], usual[what]));
}
inline double SymbolInfoDouble(const string& n, ENUM_SYMBOL_INFO_DOUBLE what) {
    const char* names[] = {"point", "min", "max", "step", "contract", "point", "tick_value"};
    const double usual[] = {0.00001, 0.01, 100, 0.01, 100000, 0.00001, 0};
    if (what != SYMBOL_TRADE_TICK_VALUE || scenario().contains("symbol." + n.s + ".tick_value")) return of_symbol(n, names[what], usual[what]);
    // Known for symbols that the account's currency stands in; others need it from the scenario.
    double in_quote = SymbolInfoDouble(n, SYMBOL_TRADE_CONTRACT_SIZE) * SymbolInfoDouble(n, SYMBOL_POINT);
    MqlTick tick{};
    return n.s.substr(0, 3) == word_of("account.currency", "USD") && SymbolInfoTick(n, tick) ? in_quote / tick.bid : in_quote;
}

enum ENUM_ACCOUNT_INFO_INTEGER { ACCOUNT_LOGIN, ACCOUNT_TRADE_MODE, ACCOUNT_TRADE_ALLOWED, ACCOUNT_TRADE_EXPERT, ACCOUNT_LEVERAGE };
enum ENUM_ACCOUNT_INFO_DOUBLE { ACCOUNT_BALANCE, ACCOUNT_EQUITY, ACCOUNT_MARGIN_FREE };
enum ENUM_ACCOUNT_INFO_STRING { ACCOUNT_SERVER, ACCOUNT_COMPANY, ACCOUNT_CURRENCY };
enum { ACCOUNT_TRADE_MODE_DEMO, ACCOUNT_TRADE_MODE_CONTEST, ACCOUNT_TRADE_MODE_REAL };
enum { TERMINAL_TRADE_ALLOWED, TERMINAL_CONNECTED, TERMINAL_BUILD };
enum { MQL_TRADE_ALLOWED, MQL_TESTER, MQL_OPTIMIZATION };
inline long AccountInfoInteger(ENUM_ACCOUNT_INFO_INTEGER what) {
    const char* names[] = {"login", "trade_mode", "trade_allowed", "trade_expert", "leverage"};
    const double usual[] = {5012345, 0, 1, 1, 100};
    return static_cast<long>(number_of(std::string("account.") + names[what], usual[what]));
}
inline string AccountInfoString(ENUM_ACCOUNT_INFO_STRING what) { return what == ACCOUNT_CURRENCY ? string(word_of("account.currency", "USD")) : what == ACCOUNT_SERVER ? "Demo \"West\"" : "A Broker Ltd"; }
inline long TerminalInfoInteger(int what) { return what == TERMINAL_BUILD ? 5833 : static_cast<long>(number_of(what == TERMINAL_CONNECTED ? "connected" : "algo_trading", 1)); }
inline long MQLInfoInteger(int what) {
    if (what == MQL_TRADE_ALLOWED) return static_cast<long>(number_of("expert_trading", 1));
    return static_cast<long>(number_of(what == MQL_TESTER ? "tester" : "optimization", 0));
}

enum { DEAL_REASON_CLIENT, DEAL_REASON_MOBILE, DEAL_REASON_WEB, DEAL_REASON_EXPERT, DEAL_REASON_SL, DEAL_REASON_TP, DEAL_REASON_SO, DEAL_REASON_ROLLOVER, DEAL_REASON_VMARGIN };
struct Deal {
    ulong ticket, order; long time; string symbol; long type, entry; double volume, price; long magic; ulong position; string comment;
    double sl = 0, tp = 0; long reason = DEAL_REASON_EXPERT; double profit = 0; long time_msc = 0;
};
struct Position {
    ulong ticket; string symbol; long type; double volume, price; long magic; string comment; double sl, tp; long time_msc;
    double side() const { return type == 0 ? 1 : -1; }
    // What the position earns when it is closed at a price, in account money.
    double profit_at(double closing) const {
        return NormalizeDouble((closing - price) * side() / SymbolInfoDouble(symbol, SYMBOL_TRADE_TICK_SIZE) * SymbolInfoDouble(symbol, SYMBOL_TRADE_TICK_VALUE) * volume, 2);
    }
    double profit() const { MqlTick tick{}; return SymbolInfoTick(symbol, tick) ? profit_at(type == 0 ? tick.bid : tick.ask) : 0; }
};
inline double commission_of_a_deal() { return number_of("broker.commission", -0.35); }
struct Broker {
    std::vector<Deal> deals;
    std::vector<Position> positions;
    ulong next = 1000;
    int sends = 0;
    Position selected{};
    void enter(const Deal& d) {
        deals.push_back(d);
        next = std::max(next, d.ticket);
        if (d.entry == 0) positions.push_back({d.position, d.symbol, d.type, d.volume, d.price, d.magic, d.comment, d.sl, d.tp, d.time_msc});
        else std::erase_if(positions, [&](const Position& p) { return p.ticket == d.position; });
    }
    void keep(const Deal& d) {
        std::ofstream file("broker.txt", std::ios::app);
        file << std::setprecision(12) << d.ticket << '|' << d.order << '|' << d.time << '|' << d.symbol.s << '|' << d.type << '|' << d.entry << '|' << d.volume << '|'
             << d.price << '|' << d.magic << '|' << d.position << '|' << d.sl << '|' << d.tp << '|' << d.reason << '|' << d.profit << '|' << d.time_msc << '|' << d.comment.s << std::endl;
        enter(d);
    }
    Broker() {
        std::ifstream file("broker.txt");
        for (std::string line; std::getline(file, line);) {
            Array<string> p;
            StringSplit(string(line), '|', p);
            Deal d{static_cast<ulong>(StringToInteger(p[0])), static_cast<ulong>(StringToInteger(p[1])), StringToInteger(p[2]), p[3], StringToInteger(p[4]),
                   StringToInteger(p[5]), StringToDouble(p[6]), StringToDouble(p[7]), StringToInteger(p[8]), static_cast<ulong>(StringToInteger(p[9])), p[ArraySize(p) - 1]};
            d.time_msc = d.time * 1000;
            if (ArraySize(p) > 11) {
                d.sl = StringToDouble(p[10]), d.tp = StringToDouble(p[11]), d.reason = StringToInteger(p[12]);
                d.profit = StringToDouble(p[13]), d.time_msc = StringToInteger(p[14]);
            }
            enter(d);
        }
    }
};
inline Broker& broker() { static Broker one; return one; }
inline double slippage_of(const string& symbol) { return number_of("broker.slippage_points", 0) * SymbolInfoDouble(symbol, SYMBOL_POINT); }

inline void close_position(const Position& p, double price, long reason, const string& words) {
    ulong ticket = ++broker().next;
    broker().keep({ticket, ticket, TimeTradeServer(), p.symbol, 1 - p.type, 1, p.volume, price, p.magic, p.ticket, words, 0, 0, reason, p.profit_at(price), broker_ms()});
}

inline void close_at_level(const Position& p, double price, long reason, double level) {
    string digits = DoubleToString(level, static_cast<int>(SymbolInfoInteger(p.symbol, SYMBOL_DIGITS)));
    close_position(p, price, reason, StringFormat("[%s %s]", string(reason == DEAL_REASON_SL ? "sl" : "tp"), digits));
}

// What a new tick does to the positions: a stop before a target, and both from the quote at which the position closes.
inline void watch_levels(const string& symbol, const MqlTick& tick, bool jumped) {
    static std::map<std::string, long> bars;
    if (long length = static_cast<long>(number_of("broker.bar_ms", 0)); length > 0) {
        long bar = tick.time_msc / length;
        jumped = jumped || bar != bars[symbol.s];
        bars[symbol.s] = bar;
    }
    auto open = broker().positions;
    for (const Position& p : open) {
        if (p.symbol != symbol || tick.time_msc < p.time_msc) continue;   // a tick from before it was opened, told again
        double side = p.side(), quote = p.type == 0 ? tick.bid : tick.ask;
        if (p.sl > 0 && (quote - p.sl) * side <= 0) close_at_level(p, (jumped ? quote : p.sl) - side * slippage_of(symbol), DEAL_REASON_SL, p.sl);
        else if (p.tp > 0 && (quote - p.tp) * side >= 0) close_at_level(p, jumped ? quote : p.tp, DEAL_REASON_TP, p.tp);
    }
}

// A tick that the terminal receives: into its store, and before the broker's eyes.
inline void receive_tick(const string& symbol, const MqlTick& tick, bool jumped = false) {
    tick_store()[symbol.s].push_back(tick);
    watch_levels(symbol, tick, jumped);
}

inline double AccountInfoDouble(ENUM_ACCOUNT_INFO_DOUBLE what) {
    double balance = number_of("account.balance", 10000), floating = 0, margin = 0;
    for (const Deal& d : broker().deals) balance += d.profit + commission_of_a_deal();
    for (const Position& p : broker().positions) {
        floating += p.profit();
        margin += p.volume * p.price / SymbolInfoDouble(p.symbol, SYMBOL_TRADE_TICK_SIZE) * SymbolInfoDouble(p.symbol, SYMBOL_TRADE_TICK_VALUE) / number_of("account.leverage", 100);
    }
    return what == ACCOUNT_BALANCE ? balance : what == ACCOUNT_EQUITY ? balance + floating : balance + floating - margin;
}

enum ENUM_POSITION_INTEGER { POSITION_MAGIC, POSITION_TYPE, POSITION_TIME_MSC };
enum ENUM_POSITION_DOUBLE { POSITION_VOLUME, POSITION_PRICE_OPEN, POSITION_SL, POSITION_TP, POSITION_PROFIT };
enum ENUM_POSITION_STRING { POSITION_SYMBOL, POSITION_COMMENT };
enum { POSITION_TYPE_BUY, POSITION_TYPE_SELL };
inline int PositionsTotal() { return static_cast<int>(broker().positions.size()); }
inline ulong PositionGetTicket(int i) { broker().selected = broker().positions.at(static_cast<std::size_t>(i)); return broker().selected.ticket; }
inline bool PositionSelectByTicket(ulong ticket) {
    for (auto& p : broker().positions) if (p.ticket == ticket) { broker().selected = p; return true; }
    return false;
}
inline long PositionGetInteger(ENUM_POSITION_INTEGER what) {
    const Position& p = broker().selected;
    return what == POSITION_MAGIC ? p.magic : what == POSITION_TYPE ? p.type : p.time_msc;
}
inline double PositionGetDouble(ENUM_POSITION_DOUBLE what) {
    const Position& p = broker().selected;
    const double held[] = {p.volume, p.price, p.sl, p.tp};
    return what == POSITION_PROFIT ? p.profit() : held[what];
}
inline string PositionGetString(ENUM_POSITION_STRING what) { return what == POSITION_SYMBOL ? broker().selected.symbol : broker().selected.comment; }
// Every order of this broker is a market order: none is ever left lying.
enum ENUM_ORDER { ORDER_MAGIC, ORDER_COMMENT };
inline int OrdersTotal() { return 0; }
inline ulong OrderGetTicket(int) { return 0; }
inline long OrderGetInteger(ENUM_ORDER) { return 0; }
inline string OrderGetString(ENUM_ORDER) { return string(); }

enum ENUM_DEAL { DEAL_TIME, DEAL_TIME_MSC, DEAL_REASON, DEAL_TYPE, DEAL_ENTRY, DEAL_MAGIC, DEAL_POSITION_ID, DEAL_ORDER, DEAL_VOLUME, DEAL_PRICE, DEAL_COMMISSION, DEAL_FEE, DEAL_SWAP, DEAL_PROFIT, DEAL_SYMBOL, DEAL_COMMENT };
enum { DEAL_ENTRY_IN, DEAL_ENTRY_OUT, DEAL_ENTRY_INOUT, DEAL_ENTRY_OUT_BY };
enum { DEAL_TYPE_BUY, DEAL_TYPE_SELL, DEAL_TYPE_BALANCE };
inline std::vector<Deal>& history() { static std::vector<Deal> chosen; return chosen; }
inline bool HistorySelect(datetime from, datetime to) {
    history().clear();
    for (auto& d : broker().deals) if (d.time >= from && d.time <= to) history().push_back(d);
    return true;
}
inline bool HistorySelectByPosition(long position) {
    history().clear();
    for (auto& d : broker().deals) if (static_cast<long>(d.position) == position) history().push_back(d);
    return true;
}
inline int HistoryDealsTotal() { return static_cast<int>(history().size()); }
inline ulong HistoryDealGetTicket(int i) { return history().at(static_cast<std::size_t>(i)).ticket; }
inline const Deal& deal_of(ulong ticket) {
    for (auto& d : history()) if (d.ticket == ticket) return d;
    throw std::out_of_range("no such deal is selected");
}
inline long HistoryDealGetInteger(ulong t, ENUM_DEAL what) {
    const Deal& d = deal_of(t);
    switch (what) {
        case DEAL_TIME: return d.time;
        case DEAL_TIME_MSC: return d.time_msc;
        case DEAL_REASON: return d.reason;
        case DEAL_TYPE: return d.type;
        case DEAL_ENTRY: return d.entry;
        case DEAL_MAGIC: return d.magic;
        case DEAL_POSITION_ID: return static_cast<long>(d.position);
        case DEAL_ORDER: return static_cast<long>(d.order);
        default: throw std::invalid_argument("no whole number of a deal");
    }
}
inline double HistoryDealGetDouble(ulong t, ENUM_DEAL what) {
    const Deal& d = deal_of(t);
    return what == DEAL_VOLUME ? d.volume : what == DEAL_PRICE ? d.price : what == DEAL_COMMISSION ? commission_of_a_deal() : what == DEAL_PROFIT ? d.profit : 0.0;
}
inline string HistoryDealGetString(ulong t, ENUM_DEAL what) { return what == DEAL_SYMBOL ? deal_of(t).symbol : deal_of(t).comment; }

// ---- the Strategy Tester
#define SEQ_STATISTICS(X) X(INITIAL_DEPOSIT) X(WITHDRAWAL) X(PROFIT) X(GROSS_PROFIT) X(GROSS_LOSS) X(MAX_PROFITTRADE) X(MAX_LOSSTRADE) X(CONPROFITMAX) \
    X(CONPROFITMAX_TRADES) X(CONLOSSMAX) X(CONLOSSMAX_TRADES) X(BALANCEMIN) X(BALANCE_DD) X(BALANCEDD_PERCENT) X(BALANCE_DDREL_PERCENT) \
    X(BALANCE_DD_RELATIVE) X(EQUITYMIN) X(EQUITY_DD) X(EQUITYDD_PERCENT) X(EQUITY_DDREL_PERCENT) X(EQUITY_DD_RELATIVE) X(EXPECTED_PAYOFF) \
    X(PROFIT_FACTOR) X(RECOVERY_FACTOR) X(SHARPE_RATIO) X(MIN_MARGINLEVEL) X(DEALS) X(TRADES) X(PROFIT_TRADES) X(LOSS_TRADES) X(SHORT_TRADES) \
    X(LONG_TRADES) X(PROFIT_SHORTTRADES) X(PROFIT_LONGTRADES)
enum ENUM_STATISTICS {
#define X(name) STAT_##name,
    SEQ_STATISTICS(X)
#undef X
};
inline double TesterStatistics(ENUM_STATISTICS what) {
    static const char* names[] = {
#define X(name) "STAT_" #name,
        SEQ_STATISTICS(X)
#undef X
    };
    return number_of(names[what], what == STAT_PROFIT_FACTOR ? DBL_MAX : 0.0);
}
enum ENUM_TIMEFRAMES { PERIOD_M1 = 1, PERIOD_H1 = 16385 };
inline string EnumToString(ENUM_TIMEFRAMES p) { return p == PERIOD_H1 ? "PERIOD_H1" : "PERIOD_M1"; }
const ENUM_TIMEFRAMES _Period = PERIOD_H1;
inline const string _Symbol = "EURUSD";
