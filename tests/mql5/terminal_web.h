// WebRequest over a socket: the list of allowed addresses, the time limit and the error numbers of MetaTrader.
#pragma once

inline double& longest_request_ms() { static double longest = 0; return longest; }

inline bool waited(int socket, short what, std::chrono::steady_clock::time_point until) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd watched{socket, what, 0};
    return left > 0 && poll(&watched, 1, static_cast<int>(left)) > 0;
}

inline int failed_request(int error) { last_error() = error; return -1; }

inline int request(int socket, const sockaddr_in& to, const std::string& text, int timeout, Array<char>& result, string& headers) {
    auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout);
    if (connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return failed_request(5201);
    std::size_t sent = 0;
    while (sent < text.size()) {
        if (!waited(socket, POLLOUT, until)) return failed_request(5202);
        auto now = send(socket, text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (now <= 0) return failed_request(5203);
        sent += static_cast<std::size_t>(now);
    }
    std::string answer;
    std::size_t head = std::string::npos, wanted = std::string::npos;
    while (head == std::string::npos || answer.size() < wanted) {
        if (!waited(socket, POLLIN, until)) return failed_request(5202);
        char part[65536];
        auto got = recv(socket, part, sizeof part, 0);
        if (got < 0) return failed_request(5203);
        if (got == 0) break;
        answer.append(part, static_cast<std::size_t>(got));
        if (head == std::string::npos && (head = answer.find("\r\n\r\n")) != std::string::npos) {
            string lower(answer.substr(0, head));
            StringToLower(lower);
            auto at = lower.s.find("content-length:");
            if (at != std::string::npos) wanted = head + 4 + std::stoul(lower.s.substr(at + 15));
        }
    }
    if (head == std::string::npos || (wanted != std::string::npos && answer.size() < wanted)) return failed_request(5203);
    auto line_end = answer.find("\r\n");
    headers = string(line_end < head ? answer.substr(line_end + 2, head - line_end) : "");
    result.items.assign(answer.begin() + static_cast<long>(head) + 4, answer.end());
    return std::stoi(answer.substr(9, 3));
}

inline int WebRequest(const string& method, const string& url, const string& headers, int timeout, const Array<char>& data, Array<char>& result, string& answered) {
    result.items.clear();
    std::string allowed = word_of("allowed_url");
    if (allowed.empty() || url.s.compare(0, allowed.size(), allowed) != 0) return failed_request(4014);
    if (url.s.compare(0, 7, "http://") != 0) return failed_request(5200);
    auto slash = url.s.find('/', 7);
    std::string place = url.s.substr(7, slash - 7);
    auto colon = place.find(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(colon == std::string::npos ? 80 : std::stoi(place.substr(colon + 1))));
    if (inet_pton(AF_INET, place.substr(0, colon).c_str(), &to.sin_addr) != 1) return failed_request(5200);
    std::ostringstream text;
    text << method.s << ' ' << url.s.substr(slash) << " HTTP/1.1\r\nHost: " << place << "\r\nConnection: close\r\n" << headers.s
         << "Content-Length: " << data.items.size() << "\r\n\r\n" << std::string(data.items.begin(), data.items.end());
    int handle = socket(AF_INET, SOCK_STREAM, 0);
    auto began = std::chrono::steady_clock::now();
    int status = request(handle, to, text.str(), timeout, result, answered);
    close(handle);
    longest_request_ms() = std::max(longest_request_ms(), std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
    return status;
}
