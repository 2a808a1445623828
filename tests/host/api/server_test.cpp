#include "host/api/server.hpp"

#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <optional>
#include <thread>

namespace lanner::host {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

class ApiTest : public testing::Test {
 protected:
  ApiTest()
      : server("127.0.0.1:0", {{"/status",
                                [] {
                                  return Page{200, "application/json", "{\"fine\":true}"};
                                }},
                               {"/health/ready", [] {
                                  return Page{503, "text/plain", "not ready\n"};
                                }}}) {}

  tcp::socket connect() {
    tcp::socket socket(context);
    socket.connect({asio::ip::make_address("127.0.0.1"), server.port()});
    return socket;
  }

  // The whole answer to a request that ends its connection.
  std::string ask(const std::string& request) {
    tcp::socket socket = connect();
    boost::system::error_code error;
    asio::write(socket, asio::buffer(request), error);
    std::string answer;
    asio::read(socket, asio::dynamic_buffer(answer), error);
    return answer;
  }
  std::string get(const std::string& target) {
    return ask("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }

  asio::io_context context;
  ApiServer server;
};

bool starts(const std::string& text, const std::string& with) {
  return text.rfind(with, 0) == 0;
}

TEST_F(ApiTest, ServesItsPages) {
  const std::string answer = get("/status?pretty=1");
  EXPECT_TRUE(starts(answer, "HTTP/1.1 200")) << answer;
  EXPECT_NE(answer.find("application/json"), std::string::npos);
  EXPECT_NE(answer.find("{\"fine\":true}"), std::string::npos);
  EXPECT_TRUE(starts(get("/health/ready"), "HTTP/1.1 503"));
  EXPECT_TRUE(starts(get("/nothing"), "HTTP/1.1 404"));
  EXPECT_TRUE(
      starts(ask("POST /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"),
             "HTTP/1.1 405"));
}

TEST_F(ApiTest, HeadHasTheLengthAndNoBody) {
  const std::string answer = ask("HEAD /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Content-Length: 13"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_F(ApiTest, OneConnectionMayAskAgain) {
  const std::string answer = ask(
      "GET /status HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("HTTP/1.1 200"), std::string::npos);
  EXPECT_NE(answer.find("HTTP/1.1 404"), std::string::npos);
}

TEST_F(ApiTest, HostileRequestsEndTheirConnectionOnly) {
  EXPECT_FALSE(starts(ask("GET / HTTP/1.1\r\nX: " + std::string(100'000, 'a') + "\r\n\r\n"), "HTTP/1.1 200"));
  EXPECT_FALSE(
      starts(ask("POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + std::string(20'000, 'a')),
             "HTTP/1.1 200"));
  EXPECT_FALSE(starts(ask(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 12)), "HTTP/1.1 200"));
  EXPECT_FALSE(starts(ask("GET\r\n\r\n"), "HTTP/1.1 200"));
  for (const std::string target : {"/../../etc/passwd", "//status", "/%00", "*"})
    EXPECT_FALSE(starts(get(target), "HTTP/1.1 200")) << target;
  EXPECT_TRUE(starts(get("/status"), "HTTP/1.1 200"));
}

TEST_F(ApiTest, MoreConnectionsThanAllowedWaitForTheirTurn) {
  std::vector<tcp::socket> idle;
  for (std::size_t i = 0; i < ApiServer::connections_max; ++i) idle.push_back(connect());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::string answer;
  std::thread late([&] { answer = get("/status"); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  idle.clear();
  late.join();
  EXPECT_TRUE(starts(answer, "HTTP/1.1 200"));
}

TEST(ApiServer, StopsWithConnectionsOpen) {
  asio::io_context context;
  tcp::socket socket(context);
  {
    ApiServer server("127.0.0.1:0", {});
    socket.connect({asio::ip::make_address("127.0.0.1"), server.port()});
    asio::write(socket, asio::buffer(std::string("GET / HT")));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  char byte;
  boost::system::error_code error;
  socket.read_some(asio::buffer(&byte, 1), error);
  EXPECT_TRUE(error);
}

TEST(ApiServer, RefusesWhatItMustNotBind) {
  for (const char* bind :
       {"0.0.0.0:8080", "8080", "127.0.0.1", "127.0.0.1:http", "example.com:80", "[::]:80"})
    EXPECT_THROW(ApiServer(bind, {}), std::runtime_error) << bind;
  ApiServer first("127.0.0.1:0", {});
  EXPECT_THROW(ApiServer("127.0.0.1:" + std::to_string(first.port()), {}), std::runtime_error);
}

}  // namespace
}  // namespace lanner::host
