// names_test.cc: which names each listener takes and lists, and what it says of those that it does not know.
#include <doctest/doctest.h>

#include "test/support/nbd_fixture.h"

namespace atl::nbd::test {
namespace {

TEST_SUITE_BEGIN("threads");

TEST_CASE("the tenants' listener answers LIST with ERR_POLICY, and keeps the reasons of failures to itself") {
  World world(IoKind::automatic);
  Client tenant = Client::tcp(world), operator_client = Client::unix_socket(world);
  tenant.greet();
  operator_client.greet();
  CHECK(operator_client.option(Option::list).size() == 4);
  auto answers = tenant.option(Option::list);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].type == OptionReply::err_policy);
  CHECK(answers[0].text(0).find("not listed over TCP") != std::string::npos);
  answers = tenant.go("forbidden");
  CHECK(answers[0].type == OptionReply::err_policy);
  CHECK(answers[0].text(0).find("secret") == std::string::npos);
  CHECK(operator_client.go("forbidden")[0].text(0).find("secret") != std::string::npos);
  CHECK(tenant.go("disk").back().type == OptionReply::ack);
}

TEST_CASE("an unknown name over TCP is ERR_UNKNOWN, says which names are taken, and does not show why it is unknown") {
  World world(IoKind::automatic);
  Client tenant = Client::tcp(world), operator_client = Client::unix_socket(world);
  tenant.greet();
  operator_client.greet();
  const auto answer = [](Client& client, std::string_view name) {
    const auto answers = client.go(name);
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].type == OptionReply::err_unknown);
    return answers[0].text(0);
  };
  const std::string words = answer(tenant, "nothing");
  CHECK(words.find("attachment") != std::string::npos);
  CHECK(answer(tenant, "") == words);
  CHECK(answer(tenant, "gone") == words);
  CHECK(answer(operator_client, "nothing") == "no such export");
  CHECK(answer(operator_client, "gone") == "the disk of \"gone\" is missing");
  CHECK(tenant.go("disk").back().type == OptionReply::ack);
}

TEST_SUITE_END();

}  // namespace
}  // namespace atl::nbd::test
