// Stands in for Trade\Trade.mqh: market orders that are filled at the quote, or refused as a broker refuses.
// broker.slippage_points goes against each fill.
// scenario: fault.<n>=<retcode> refuses the n-th order of this run; <retcode>:executed does it and says so all the same;
// kill:before and kill:after end the program by SIGKILL on either side of the execution.
#pragma once

enum ENUM_LOG_LEVELS { LOG_LEVEL_ERRORS = 1 };
enum {
    TRADE_RETCODE_REQUOTE = 10004, TRADE_RETCODE_PLACED = 10008, TRADE_RETCODE_DONE = 10009, TRADE_RETCODE_DONE_PARTIAL = 10010, TRADE_RETCODE_ERROR = 10011,
    TRADE_RETCODE_TIMEOUT = 10012, TRADE_RETCODE_PRICE_CHANGED = 10020, TRADE_RETCODE_PRICE_OFF = 10021, TRADE_RETCODE_TOO_MANY_REQUESTS = 10024,
    TRADE_RETCODE_FROZEN = 10029, TRADE_RETCODE_CONNECTION = 10031
};

class CTrade {
    ulong magic = 0;
    ENUM_ORDER_TYPE_FILLING filling = ORDER_FILLING_FOK;
    uint retcode = 0;
    ulong order = 0, deal = 0;
    double volume = 0, price = 0;
    string words;

    bool says(uint code, const char* text) { retcode = code; words = text; return code == TRADE_RETCODE_DONE; }

    uint objection(double lots, const string& symbol, bool buy, double sl, double tp, const MqlTick& tick) const {
        if (!TerminalInfoInteger(TERMINAL_TRADE_ALLOWED)) return 10027;
        double step = SymbolInfoDouble(symbol, SYMBOL_VOLUME_STEP), steps = lots / step;
        if (lots < SymbolInfoDouble(symbol, SYMBOL_VOLUME_MIN) || lots > SymbolInfoDouble(symbol, SYMBOL_VOLUME_MAX) || std::fabs(steps - std::round(steps)) > 1e-6) return 10014;
        long allowed = SymbolInfoInteger(symbol, SYMBOL_FILLING_MODE), execution = SymbolInfoInteger(symbol, SYMBOL_TRADE_EXEMODE);
        if (execution >= SYMBOL_TRADE_EXECUTION_MARKET) {
            if (filling == ORDER_FILLING_FOK && !(allowed & 1)) return 10030;
            if (filling == ORDER_FILLING_IOC && !(allowed & 2)) return 10030;
            if (filling == ORDER_FILLING_RETURN && execution == SYMBOL_TRADE_EXECUTION_MARKET) return 10030;
        }
        double level = static_cast<double>(SymbolInfoInteger(symbol, SYMBOL_TRADE_STOPS_LEVEL)) * SymbolInfoDouble(symbol, SYMBOL_POINT) - 1e-9;
        double side = buy ? 1 : -1, quote = buy ? tick.bid : tick.ask;
        if ((sl > 0 && (quote - sl) * side < level) || (tp > 0 && (tp - quote) * side < level)) return 10016;
        return 0;
    }

    bool send(double lots, const string& symbol, bool buy, double sl, double tp, const string& comment, ulong closing) {
        order = deal = 0;
        volume = price = 0;
        MqlTick tick{};
        if (!SymbolInfoTick(symbol, tick)) return says(10021, "No prices");
        std::string fault = word_of("fault." + std::to_string(++broker().sends));
        if (fault == "kill:before") std::raise(SIGKILL);
        if (uint code = objection(lots, symbol, buy, sl, tp, tick)) return says(code, "Refused by the stand-in");
        bool executed = fault.empty() || fault.ends_with(":executed") || fault == "kill:after";
        if (executed) {
            double filled = buy ? tick.ask + slippage_of(symbol) : tick.bid - slippage_of(symbol);
            Deal d{++broker().next, broker().next, TimeTradeServer(), symbol, buy ? 0 : 1, closing ? 1 : 0, lots, filled,
                   static_cast<long>(magic), closing ? closing : broker().next, comment, sl, tp};
            d.profit = closing ? broker().selected.profit_at(filled) : 0.0;
            d.time_msc = broker_ms();
            broker().keep(d);
            if (fault == "kill:after") std::raise(SIGKILL);
            if (fault.empty()) {
                order = d.order, deal = d.ticket, volume = lots, price = d.price;
                return says(TRADE_RETCODE_DONE, "Request executed");
            }
        }
        return says(static_cast<uint>(std::stoi(fault)), "As the scenario says");
    }

public:
    void SetExpertMagicNumber(ulong m) { magic = m; }
    void SetDeviationInPoints(ulong) {}
    void SetAsyncMode(bool) {}
    void LogLevel(ENUM_LOG_LEVELS) {}
    void SetTypeFilling(ENUM_ORDER_TYPE_FILLING f) { filling = f; }
    bool Buy(double lots, const string& symbol, double, double sl, double tp, const string& comment) { return send(lots, symbol, true, sl, tp, comment, 0); }
    bool Sell(double lots, const string& symbol, double, double sl, double tp, const string& comment) { return send(lots, symbol, false, sl, tp, comment, 0); }
    bool PositionClose(ulong ticket) {
        if (!PositionSelectByTicket(ticket)) return says(10036, "Position doesn't exist");
        Position p = broker().selected;
        return send(p.volume, p.symbol, p.type == 1, 0, 0, "", ticket);
    }
    uint ResultRetcode() const { return retcode; }
    string ResultRetcodeDescription() const { return words; }
    string ResultComment() const { return words; }
    ulong ResultOrder() const { return order; }
    ulong ResultDeal() const { return deal; }
    double ResultVolume() const { return volume; }
    double ResultPrice() const { return price; }
};
