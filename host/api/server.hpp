// A small HTTP server for health, status and metrics. Bounded in everything: connections, header and body
// bytes, time.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace lanner::host {

struct Page {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class ApiServer {
 public:
  /// GET of these paths; anything else is 404, or 405. Called from the server's own thread; must not throw.
  using Pages = std::map<std::string, std::function<Page()>, std::less<>>;

  static constexpr std::size_t connections_max = 64;

  /// HOST:PORT; port 0: any. Binds, and serves from a thread of its own until destroyed. Throws
  /// std::runtime_error naming the address: malformed, taken, or beyond loopback, which needs authentication
  /// that this version doesn't have.
  ApiServer(const std::string& bind, Pages);
  ~ApiServer();

  unsigned short port() const;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace lanner::host
