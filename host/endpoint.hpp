// Which endpoints stay on this machine. Sockets bound beyond it need keys, or are refused.
#pragma once

#include <string>
#include <string_view>

namespace lanner::host {

/// HOST without brackets or port.
inline bool is_loopback_host(std::string_view host) {
  if (host == "localhost" || host == "::1") return true;
  if (!host.starts_with("127.")) return false;
  return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

/// "127.0.0.1:80", "[::1]:80", "localhost:80" -> the host; empty where there is no port.
inline std::string_view host_of(std::string_view host_and_port) {
  const std::size_t colon = host_and_port.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string_view host = host_and_port.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return host;
}

/// A ZeroMQ endpoint that only this machine can reach: tcp on a loopback address, ipc, inproc.
inline bool is_loopback_endpoint(std::string_view endpoint) {
  if (endpoint.starts_with("ipc://") || endpoint.starts_with("inproc://")) return true;
  return endpoint.starts_with("tcp://") && is_loopback_host(host_of(endpoint.substr(6)));
}

/// As libzmq binds it: it takes addresses, no names.
inline std::string bindable(std::string_view endpoint) {
  constexpr std::string_view named = "tcp://localhost:";
  if (!endpoint.starts_with(named)) return std::string(endpoint);
  return "tcp://127.0.0.1:" + std::string(endpoint.substr(named.size()));
}
/// libzmq is to be told.
inline bool is_ipv6(std::string_view endpoint) {
  return endpoint.starts_with("tcp://[");
}

}  // namespace lanner::host
