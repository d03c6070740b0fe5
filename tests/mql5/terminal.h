// A terminal and a broker small enough to read, behind the names that MQL5 gives them: enough of the language and of
// its library for our experts. Faults come from the scenario, so that each can be had again.
#pragma once
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cfloat>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <string>
#include <vector>

using uchar = unsigned char;
using ushort = unsigned short;
using uint = unsigned int;
using ulong = unsigned long;
using datetime = long;

// ---- text: bytes of UTF-8, where MQL5 has UTF-16
struct string {
    std::string s;
    string() = default;
    string(const char* text) : s(text) {}
    string(std::string text) : s(std::move(text)) {}
};
inline string operator""_s(const char* text, std::size_t size) { return string(std::string(text, size)); }
inline string operator+(const string& a, const string& b) { return string(a.s + b.s); }
inline bool operator==(const string& a, const string& b) { return a.s == b.s; }
inline bool operator!=(const string& a, const string& b) { return a.s != b.s; }

template <class T> struct Array {
    std::vector<T> items;
    T& operator[](long i) { return items.at(static_cast<std::size_t>(i)); }
    const T& operator[](long i) const { return items.at(static_cast<std::size_t>(i)); }
};
template <> struct Array<bool>;
template <class T> int ArraySize(const Array<T>& a) { return static_cast<int>(a.items.size()); }
template <class T> int ArrayResize(Array<T>& a, long size, long = 0) { a.items.resize(static_cast<std::size_t>(size)); return ArraySize(a); }

inline int StringLen(const string& t) { return static_cast<int>(t.s.size()); }
inline bool StringAdd(string& t, const string& more) { t.s += more.s; return true; }
inline ushort StringGetCharacter(const string& t, int i) { return static_cast<uchar>(t.s.at(static_cast<std::size_t>(i))); }
inline bool StringSetCharacter(string& t, int i, int c) { t.s.at(static_cast<std::size_t>(i)) = static_cast<char>(c); return true; }
inline int StringFind(const string& t, const string& what, int from = 0) {
    auto at = t.s.find(what.s, static_cast<std::size_t>(from));
    return at == std::string::npos ? -1 : static_cast<int>(at);
}
inline string StringSubstr(const string& t, int from, int count = -1) {
    if (from >= StringLen(t)) return string();
    return string(t.s.substr(static_cast<std::size_t>(from), count < 0 ? std::string::npos : static_cast<std::size_t>(count)));
}
inline int StringReplace(string& t, const string& what, const string& by) {
    int done = 0;
    for (std::size_t at = 0; (at = t.s.find(what.s, at)) != std::string::npos; at += by.s.size(), done++) t.s.replace(at, what.s.size(), by.s);
    return done;
}
inline int StringSplit(const string& t, int separator, Array<string>& out) {
    out.items.clear();
    if (t.s.empty()) return 0;
    std::size_t from = 0;
    for (std::size_t at; (at = t.s.find(static_cast<char>(separator), from)) != std::string::npos; from = at + 1) out.items.push_back(string(t.s.substr(from, at - from)));
    out.items.push_back(string(t.s.substr(from)));
    return ArraySize(out);
}
inline bool StringToLower(string& t) { for (char& c : t.s) c = static_cast<char>(std::tolower(c)); return true; }
inline int StringTrimLeft(string& t) { auto n = t.s.find_first_not_of(" \t\r\n"); t.s.erase(0, n); return 0; }
inline int StringTrimRight(string& t) { auto n = t.s.find_last_not_of(" \t\r\n"); t.s.erase(n == std::string::npos ? 0 : n + 1); return 0; }
inline long StringToInteger(const string& t) { return std::strtol(t.s.c_str(), nullptr, 10); }
inline double StringToDouble(const string& t) { return std::strtod(t.s.c_str(), nullptr); }
inline datetime StringToTime(const string& t) {
    std::tm parts{};
    strptime(t.s.c_str(), "%Y.%m.%d %H:%M:%S", &parts);
    return timegm(&parts);
}
inline string IntegerToString(long value) { return string(std::to_string(value)); }
inline string DoubleToString(double value, int digits = 8) { char out[400]; std::snprintf(out, sizeof out, "%.*f", digits, value); return string(out); }
inline const char* printable(const string& t) { return t.s.c_str(); }
template <class T> T printable(T value) { static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>); return value; }
template <class... A> string StringFormat(const string& form, A... a) {
    string f = form;
    StringReplace(f, "I64", "l");
    char out[8192];
    std::snprintf(out, sizeof out, f.s.c_str(), printable(a)...);
    return string(out);
}
inline void print_one(const string& t) { std::cout << t.s; }
template <class T> void print_one(T value) { std::cout << value; }
template <class... A> void Print(const A&... a) { (print_one(a), ...); std::cout << std::endl; }
template <class... A> void PrintFormat(const string& form, A... a) { Print(StringFormat(form, a...)); }
const int WHOLE_ARRAY = -1;
const uint CP_UTF8 = 65001;
// The terminating zero comes along, as there.
template <class T> int StringToCharArray(const string& t, Array<T>& out, int start = 0, int = -1, uint = 0) {
    ArrayResize(out, start + StringLen(t) + 1);
    for (int i = 0; i < StringLen(t); i++) out[start + i] = static_cast<T>(t.s[static_cast<std::size_t>(i)]);
    out[start + StringLen(t)] = 0;
    return StringLen(t) + 1;
}
template <class T> string CharArrayToString(const Array<T>& a, int = 0, int = -1, uint = 0) { return string(std::string(a.items.begin(), a.items.end())); }

// ---- numbers
template <class A, class B> auto MathMax(A a, B b) { using C = std::common_type_t<A, B>; return std::max<C>(a, b); }
template <class A, class B> auto MathMin(A a, B b) { using C = std::common_type_t<A, B>; return std::min<C>(a, b); }
inline double MathAbs(double v) { return std::fabs(v); }
inline double MathPow(double a, double b) { return std::pow(a, b); }
inline double MathFloor(double v) { return std::floor(v); }
inline double MathRound(double v) { return std::round(v); }
inline bool MathIsValidNumber(double v) { return std::isfinite(v); }
inline int MathRand() { return std::rand() & 32767; }
inline void MathSrand(int seed) { std::srand(static_cast<uint>(seed)); }
inline double NormalizeDouble(double v, int digits) { double p = std::pow(10.0, digits); return std::round(v * p) / p; }

// ---- the scenario: key=value lines in the folder in which the driver runs
inline std::map<std::string, std::string>& scenario() {
    static std::map<std::string, std::string> known = [] {
        std::map<std::string, std::string> read;
        std::ifstream file("scenario.txt");
        for (std::string line; std::getline(file, line);)
            if (auto at = line.find('='); at != std::string::npos) read[line.substr(0, at)] = line.substr(at + 1);
        return read;
    }();
    return known;
}
inline std::string word_of(const std::string& key, const std::string& otherwise = "") {
    auto found = scenario().find(key);
    return found == scenario().end() ? otherwise : found->second;
}
inline double number_of(const std::string& key, double otherwise) {
    auto found = scenario().find(key);
    return found == scenario().end() ? otherwise : std::stod(found->second);
}
template <class T, class U> T scenario_input(const char* name, U otherwise) {
    auto found = scenario().find(std::string("input.") + name);
    if (found == scenario().end()) return T(otherwise);
    if constexpr (std::is_same_v<T, string>) return string(found->second);
    else if constexpr (std::is_same_v<T, bool>) return found->second == "true";
    else return static_cast<T>(std::stod(found->second));
}

// ---- clocks: the driver skips waiting, so that minutes of back-off pass in moments. A replay sets them as the variable
// SEQUENCE_REPLAY_CLOCK does (clock.simulated_ms at clock.wall_ms, clock.speed times as fast); a stepped terminal has no
// other time than it is told.
struct SteppedClock { bool on = false; long utc_ms = 0; ulong ticks = 1'000'000; };
inline SteppedClock& stepped_clock() { static SteppedClock one; return one; }
inline double& skipped_ms() { static double skipped = 0; return skipped; }
inline bool is_replayed() { static const bool is = scenario().contains("clock.simulated_ms"); return is; }
inline long true_utc_ms() {
    if (stepped_clock().on) return stepped_clock().utc_ms;
    auto now = std::chrono::system_clock::now().time_since_epoch();
    double wall = std::chrono::duration<double, std::milli>(now).count();
    if (!is_replayed()) return static_cast<long>(wall);
    static const double simulated = number_of("clock.simulated_ms", 0), began = number_of("clock.wall_ms", 0), speed = number_of("clock.speed", 1);
    return static_cast<long>(simulated + (wall - began) * speed);
}
inline double steady_ms() { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
// Between events a replay's count runs as its clock does; within one as the computer's, for what an event may last is time
// that a request really takes.
struct EventClock { double count = static_cast<double>(true_utc_ms()), began = steady_ms(); };
inline EventClock& event_clock() { static EventClock one; return one; }
inline ulong GetTickCount64() {
    if (stepped_clock().on) return stepped_clock().ticks;
    if (is_replayed()) return static_cast<ulong>(event_clock().count + steady_ms() - event_clock().began + skipped_ms());
    return static_cast<ulong>(steady_ms() + skipped_ms());
}
inline void begin_event() { event_clock() = EventClock{std::max(static_cast<double>(true_utc_ms()), static_cast<double>(GetTickCount64()) - skipped_ms()), steady_ms()}; }
inline ulong GetMicrosecondCount() { return GetTickCount64() * 1000; }
inline datetime true_utc() { return true_utc_ms() / 1000; }
inline datetime TimeGMT() { return true_utc() + static_cast<long>(number_of("clock_shift_s", 0)); }
inline datetime TimeLocal() { return TimeGMT(); }
inline long broker_ms() { return true_utc_ms() + static_cast<long>(number_of("broker_offset_s", 7200)) * 1000; }
inline datetime TimeTradeServer() { return broker_ms() / 1000; }
inline datetime TimeCurrent() { return TimeTradeServer(); }
inline int& last_error() { static int error = 0; return error; }
inline int GetLastError() { return last_error(); }
inline void ResetLastError() { last_error() = 0; }
inline bool EventSetMillisecondTimer(int) { return true; }
inline void EventKillTimer() {}
enum { INIT_SUCCEEDED, INIT_FAILED, INIT_PARAMETERS_INCORRECT };

// ---- files, all in one folder; slashes as on Windows
enum { FILE_READ = 1, FILE_WRITE = 2, FILE_TXT = 8, FILE_ANSI = 32, FILE_SHARE_READ = 128, FILE_REWRITE = 512, FILE_COMMON = 4096 };
enum ENUM_FILE_POSITION { SEEK_BEGIN };
#undef SEEK_END
enum { SEEK_END = 2 };
const int INVALID_HANDLE = -1;
inline std::vector<FILE*>& handles() { static std::vector<FILE*> open; return open; }
inline std::string path_of(const string& name) { string n = name; StringReplace(n, "\\", "/"); return n.s; }
inline int FileOpen(const string& name, int flags, int = '\t', uint = 0) {
    if (word_of("disk_full") == "true" && (flags & FILE_WRITE)) { last_error() = 5004; return INVALID_HANDLE; }
    std::string path = path_of(name);
    FILE* file = nullptr;
    if ((flags & FILE_READ) && (flags & FILE_WRITE)) {
        file = std::fopen(path.c_str(), "r+");
        if (!file) file = std::fopen(path.c_str(), "w+");
    } else file = std::fopen(path.c_str(), flags & FILE_WRITE ? "w" : "r");
    if (!file) { last_error() = 5004; return INVALID_HANDLE; }
    handles().push_back(file);
    return static_cast<int>(handles().size()) - 1;
}
inline FILE* handle_of(int h) { return handles().at(static_cast<std::size_t>(h)); }
inline uint FileWriteString(int h, const string& t) { return static_cast<uint>(std::fwrite(t.s.data(), 1, t.s.size(), handle_of(h))); }
inline bool FileIsEnding(int h) { int c = std::fgetc(handle_of(h)); if (c == EOF) return true; std::ungetc(c, handle_of(h)); return false; }
inline string FileReadString(int h) {
    std::string line;
    for (int c; (c = std::fgetc(handle_of(h))) != EOF && c != '\n';) line += static_cast<char>(c);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return string(line);
}
inline bool FileSeek(int h, long at, int whence) { return std::fseek(handle_of(h), at, whence) == 0; }
inline void FileFlush(int h) { std::fflush(handle_of(h)); }
inline void FileClose(int h) { std::fclose(handle_of(h)); }
inline bool FileMove(const string& from, int, const string& to, int) { return std::rename(path_of(from).c_str(), path_of(to).c_str()) == 0; }
inline bool FolderCreate(const string& name, int = 0) { return mkdir(path_of(name).c_str(), 0700) == 0; }

// ---- global variables of the terminal: they end with it, that is with this program
inline std::map<std::string, double>& globals() { static std::map<std::string, double> all; return all; }
inline bool GlobalVariableCheck(const string& n) { return globals().contains(n.s) || access((n.s + ".global").c_str(), F_OK) == 0; }
inline double GlobalVariableGet(const string& n) { return globals().contains(n.s) ? globals()[n.s] : 1.0; }
inline datetime GlobalVariableSet(const string& n, double v) { globals()[n.s] = v; return 1; }
inline bool GlobalVariableTemp(const string& n) { globals()[n.s] = 0; return true; }
inline bool GlobalVariableDel(const string& n) { return globals().erase(n.s) > 0; }

#include "terminal_web.h"
#include "terminal_broker.h"
