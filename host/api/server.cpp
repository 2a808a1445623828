#include "host/api/server.hpp"

#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "host/endpoint.hpp"

namespace lanner::host {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

constexpr std::uint32_t header_bytes_max = 8192;
constexpr std::uint64_t body_bytes_max = 8192;
constexpr auto patience = std::chrono::seconds(10);

tcp::endpoint resolve(asio::io_context& context, const std::string& bind) {
  const std::string host(host_of(bind));
  const std::string port = bind.substr(bind.rfind(':') + 1);
  if (host.empty() || port.empty() || port.find_first_not_of("0123456789") != std::string::npos)
    throw std::runtime_error("api: bind: found '" + bind + "', allowed HOST:PORT");
  if (!is_loopback_host(host))
    throw std::runtime_error(
        "api: bind: found '" + bind +
        "', allowed only loopback (127.0.0.1:PORT): beyond it authentication is required, which "
        "this version does not have");
  try {
    return *tcp::resolver(context).resolve(host, port).begin();
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("api: bind: " + bind + ": " + error.code().message());
  }
}

}  // namespace

struct ApiServer::Server {
  class Session;

  Server(const std::string& bind, Pages served)
      : pages(std::move(served)), acceptor(context), pause(context) {
    const tcp::endpoint endpoint = resolve(context, bind);
    try {
      acceptor.open(endpoint.protocol());
      acceptor.set_option(asio::socket_base::reuse_address(true));
      acceptor.bind(endpoint);
      acceptor.listen();
    } catch (const boost::system::system_error& error) {
      throw std::runtime_error("api: bind: " + bind + ": " + error.code().message());
    }
    accept();
    thread = std::thread([this] { context.run(); });
  }

  ~Server() {
    context.stop();
    thread.join();
    stopped = true;  // sessions go with the context, after the acceptor
  }

  void accept();
  Page answer(http::verb, std::string_view target) const;

  Pages pages;
  std::size_t connections = 0;
  bool accepting = false, stopped = false;
  asio::io_context context{1};
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  std::thread thread;
};

class ApiServer::Server::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Server& server, tcp::socket socket) : server_(server), stream_(std::move(socket)) {
    ++server_.connections;
  }
  ~Session() {
    --server_.connections;
    if (!server_.stopped) server_.accept();
  }

  void read() {
    parser_.emplace();
    parser_->header_limit(header_bytes_max);
    parser_->body_limit(body_bytes_max);
    stream_.expires_after(patience);
    http::async_read(
        stream_, buffer_, *parser_, [self = shared_from_this()](beast::error_code error, std::size_t) {
          if (!error) return self->write();
          if (error == http::error::header_limit || error == http::error::body_limit)
            return self->write_last(http::status::payload_too_large);
          const bool malformed =
              error.category() == http::make_error_code(http::error::bad_method).category();
          if (malformed && error != http::error::end_of_stream && error != http::error::partial_message)
            self->write_last(http::status::bad_request);
        });
  }

 private:
  void write() {
    const auto& request = parser_->get();
    Page page = server_.answer(request.method(), {request.target().data(), request.target().size()});
    response_ = {};
    response_.result(static_cast<unsigned>(page.status));
    response_.version(request.version());
    response_.keep_alive(request.keep_alive());
    response_.set(http::field::content_type, page.content_type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    if (page.status == 405) response_.set(http::field::allow, "GET, HEAD");
    const std::size_t size = page.body.size();
    if (request.method() != http::verb::head) response_.body() = std::move(page.body);
    response_.prepare_payload();
    if (request.method() == http::verb::head) response_.content_length(size);
    send();
  }

  void write_last(http::status status) {
    response_ = {};
    response_.result(status);
    response_.keep_alive(false);
    response_.prepare_payload();
    send();
  }

  void send() {
    stream_.expires_after(patience);
    http::async_write(stream_, response_, [self = shared_from_this()](beast::error_code error, std::size_t) {
      if (error) return;
      if (self->response_.need_eof() || !self->response_.keep_alive()) {
        self->stream_.socket().shutdown(tcp::socket::shutdown_send, error);
        return;
      }
      self->read();
    });
  }

  Server& server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{header_bytes_max + body_bytes_max};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

void ApiServer::Server::accept() {
  if (accepting || connections >= connections_max) return;
  accepting = true;
  acceptor.async_accept([this](beast::error_code error, tcp::socket socket) {
    accepting = false;
    if (!error) {
      std::make_shared<Session>(*this, std::move(socket))->read();
      return accept();
    }
    if (error == asio::error::operation_aborted) return;
    // Out of descriptors, most likely: try again when some may be free.
    pause.expires_after(std::chrono::milliseconds(100));
    pause.async_wait([this](beast::error_code cancelled) {
      if (!cancelled) accept();
    });
  });
}

Page ApiServer::Server::answer(http::verb method, std::string_view target) const {
  const auto page = pages.find(target.substr(0, target.find('?')));
  if (page == pages.end()) return {404, "text/plain; charset=utf-8", "no such page\n"};
  if (method != http::verb::get && method != http::verb::head)
    return {405, "text/plain; charset=utf-8", "GET only\n"};
  return page->second();
}

ApiServer::ApiServer(const std::string& bind, Pages pages)
    : server_(std::make_unique<Server>(bind, std::move(pages))) {}

ApiServer::~ApiServer() = default;

unsigned short ApiServer::port() const {
  return server_->acceptor.local_endpoint().port();
}

}  // namespace lanner::host
