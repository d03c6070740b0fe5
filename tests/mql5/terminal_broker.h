// Quotes, account, positions and history. What the broker did is appended to broker.txt before it answers, so that it
// outlives an expert that is killed, as a broker does.
#pragma once
#include <csignal>

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
enum ENUM_SYMBOL_INFO_DOUBLE { SYMBOL_POINT, SYMBOL_VOLUME_MIN, SYMBOL_VOLUME_MAX, SYMBOL_VOLUME_STEP };
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
    const char* names[] = {"point", "min", "max", "step"};
    const double usual[] = {0.00001, 0.01, 100, 0.01};
    return of_symbol(n, names[what], usual[what]);
}

enum ENUM_ACCOUNT_INFO_INTEGER { ACCOUNT_LOGIN, ACCOUNT_TRADE_MODE, ACCOUNT_TRADE_ALLOWED, ACCOUNT_TRADE_EXPERT, ACCOUNT_LEVERAGE };
enum ENUM_ACCOUNT_INFO_DOUBLE { ACCOUNT_BALANCE, ACCOUNT_EQUITY };
enum ENUM_ACCOUNT_INFO_STRING { ACCOUNT_SERVER, ACCOUNT_COMPANY, ACCOUNT_CURRENCY };
enum { ACCOUNT_TRADE_MODE_DEMO, ACCOUNT_TRADE_MODE_CONTEST, ACCOUNT_TRADE_MODE_REAL };
enum { TERMINAL_TRADE_ALLOWED, TERMINAL_CONNECTED, TERMINAL_BUILD };
enum { MQL_TRADE_ALLOWED, MQL_TESTER, MQL_OPTIMIZATION };
inline long AccountInfoInteger(ENUM_ACCOUNT_INFO_INTEGER what) {
    const char* names[] = {"login", "trade_mode", "trade_allowed", "trade_expert", "leverage"};
    const double usual[] = {5012345, 0, 1, 1, 100};
    return static_cast<long>(number_of(std::string("account.") + names[what], usual[what]));
}
inline double AccountInfoDouble(ENUM_ACCOUNT_INFO_DOUBLE) { return 10000.0; }
inline string AccountInfoString(ENUM_ACCOUNT_INFO_STRING what) { return what == ACCOUNT_CURRENCY ? "USD" : what == ACCOUNT_SERVER ? "Demo \"West\"" : "A Broker Ltd"; }
inline long TerminalInfoInteger(int what) { return what == TERMINAL_BUILD ? 5833 : static_cast<long>(number_of(what == TERMINAL_CONNECTED ? "connected" : "algo_trading", 1)); }
inline long MQLInfoInteger(int what) {
    if (what == MQL_TRADE_ALLOWED) return static_cast<long>(number_of("expert_trading", 1));
    return static_cast<long>(number_of(what == MQL_TESTER ? "tester" : "optimization", 0));
}

struct Deal { ulong ticket, order; long time; string symbol; long type, entry; double volume, price; long magic; ulong position; string comment; };
struct Position { ulong ticket; string symbol; long type; double volume, price; long magic; string comment; };
struct Broker {
    std::vector<Deal> deals;
    std::vector<Position> positions;
    ulong next = 1000;
    int sends = 0;
    Position selected{};
    void enter(const Deal& d) {
        deals.push_back(d);
        next = std::max(next, d.ticket);
        if (d.entry == 0) positions.push_back({d.position, d.symbol, d.type, d.volume, d.price, d.magic, d.comment});
        else std::erase_if(positions, [&](const Position& p) { return p.ticket == d.position; });
    }
    void keep(const Deal& d) {
        std::ofstream file("broker.txt", std::ios::app);
        file << d.ticket << '|' << d.order << '|' << d.time << '|' << d.symbol.s << '|' << d.type << '|' << d.entry << '|' << d.volume << '|'
             << d.price << '|' << d.magic << '|' << d.position << '|' << d.comment.s << std::endl;
        enter(d);
    }
    Broker() {
        std::ifstream file("broker.txt");
        for (std::string line; std::getline(file, line);) {
            Array<string> p;
            StringSplit(string(line), '|', p);
            enter({static_cast<ulong>(StringToInteger(p[0])), static_cast<ulong>(StringToInteger(p[1])), StringToInteger(p[2]), p[3], StringToInteger(p[4]),
                   StringToInteger(p[5]), StringToDouble(p[6]), StringToDouble(p[7]), StringToInteger(p[8]), static_cast<ulong>(StringToInteger(p[9])), p[10]});
        }
    }
};
inline Broker& broker() { static Broker one; return one; }

enum ENUM_POSITION { POSITION_MAGIC, POSITION_SYMBOL };
inline int PositionsTotal() { return static_cast<int>(broker().positions.size()); }
inline ulong PositionGetTicket(int i) { broker().selected = broker().positions.at(static_cast<std::size_t>(i)); return broker().selected.ticket; }
inline bool PositionSelectByTicket(ulong ticket) {
    for (auto& p : broker().positions) if (p.ticket == ticket) { broker().selected = p; return true; }
    return false;
}
inline long PositionGetInteger(ENUM_POSITION) { return broker().selected.magic; }
inline string PositionGetString(ENUM_POSITION) { return broker().selected.symbol; }
// Every order of this broker is a market order: none is ever left lying.
enum ENUM_ORDER { ORDER_MAGIC, ORDER_COMMENT };
inline int OrdersTotal() { return 0; }
inline ulong OrderGetTicket(int) { return 0; }
inline long OrderGetInteger(ENUM_ORDER) { return 0; }
inline string OrderGetString(ENUM_ORDER) { return string(); }

enum ENUM_DEAL { DEAL_TIME, DEAL_TYPE, DEAL_ENTRY, DEAL_MAGIC, DEAL_POSITION_ID, DEAL_ORDER, DEAL_VOLUME, DEAL_PRICE, DEAL_COMMISSION, DEAL_SWAP, DEAL_PROFIT, DEAL_SYMBOL, DEAL_COMMENT };
enum { DEAL_ENTRY_IN, DEAL_ENTRY_OUT };
inline std::vector<Deal>& history() { static std::vector<Deal> chosen; return chosen; }
inline bool HistorySelect(datetime from, datetime to) {
    history().clear();
    for (auto& d : broker().deals) if (d.time >= from && d.time <= to) history().push_back(d);
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
    return what == DEAL_VOLUME ? d.volume : what == DEAL_PRICE ? d.price : what == DEAL_COMMISSION ? -0.35 : 0.0;
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
