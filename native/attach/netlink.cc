#include "attach/netlink.h"

#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace atl::attach {
namespace {

/// One message, grown attribute by attribute.
class Message {
 public:
  Message(uint16_t type, uint8_t command) : bytes_(NLMSG_HDRLEN + GENL_HDRLEN) {
    header().nlmsg_type = type;
    header().nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    genlmsghdr generic{};
    generic.cmd = command;
    generic.version = 1;
    std::memcpy(bytes_.data() + NLMSG_HDRLEN, &generic, sizeof generic);
  }
  template <class T>
  Message& put(uint16_t type, const T& value) {
    return put_bytes(type, &value, sizeof value);
  }
  Message& put_bytes(uint16_t type, const void* data, size_t size) {
    const size_t at = open(type);
    bytes_.resize(bytes_.size() + size);
    if (size > 0) std::memcpy(bytes_.data() + at + NLA_HDRLEN, data, size);
    close(at);
    return *this;
  }
  /// Answers what close() takes.
  size_t open(uint16_t type) {
    const size_t at = bytes_.size();
    const nlattr head{0, type};
    bytes_.resize(at + NLA_HDRLEN);
    std::memcpy(bytes_.data() + at, &head, sizeof head);
    return at;
  }
  void close(size_t at) {
    const auto length = static_cast<uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &length, sizeof length);  // nla_len comes first
    bytes_.resize(NLA_ALIGN(bytes_.size()));
  }
  void put_sockets(std::span<const int> sockets) {
    const size_t list = open(NBD_ATTR_SOCKETS | NLA_F_NESTED);
    for (const int fd : sockets) {
      const size_t item = open(NBD_SOCK_ITEM | NLA_F_NESTED);
      put(NBD_SOCK_FD, static_cast<uint32_t>(fd));
      close(item);
    }
    close(list);
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }
  std::vector<std::byte> bytes_;
};

std::string device_name(uint32_t index) { return "/dev/nbd" + std::to_string(index); }

/// Calls `each` with the type and the value of every attribute.
template <class Each>
void for_attributes(std::span<const std::byte> attributes, Each each) {
  while (attributes.size() >= NLA_HDRLEN) {
    nlattr head;
    std::memcpy(&head, attributes.data(), sizeof head);
    if (head.nla_len < NLA_HDRLEN || head.nla_len > attributes.size()) return;
    each(head.nla_type & NLA_TYPE_MASK, attributes.subspan(NLA_HDRLEN, head.nla_len - NLA_HDRLEN));
    attributes = attributes.subspan(std::min<size_t>(NLA_ALIGN(head.nla_len), attributes.size()));
  }
}

template <class T>
std::optional<T> number_in(std::span<const std::byte> value) {
  if (value.size() < sizeof(T)) return {};
  T number;
  std::memcpy(&number, value.data(), sizeof number);
  return number;
}

std::span<const std::byte> attributes_of(std::span<const std::byte> message) {
  return message.size() < NLMSG_HDRLEN + GENL_HDRLEN ? std::span<const std::byte>{}
                                                     : message.subspan(NLMSG_HDRLEN + GENL_HDRLEN);
}

}  // namespace

Result<NbdNetlink> NbdNetlink::open() {
  Socket socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  if (socket.fd() < 0) return Error::from_errno(errno, "netlink socket");
  NbdNetlink netlink(std::move(socket));
  if (Result<void> found = netlink.find_family(); !found) return found.error();
  return netlink;
}

Result<void> NbdNetlink::find_family() {
  Message message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
  message.put_bytes(CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME, sizeof NBD_GENL_FAMILY_NAME);
  Result<std::vector<std::byte>> reply = exchange(message.take());
  if (!reply) {
    if (reply.error().code == Code::not_found) return Error{Code::not_found, "the kernel has no NBD client"};
    return reply.error();
  }
  for_attributes(attributes_of(*reply), [&](int type, std::span<const std::byte> value) {
    if (type == CTRL_ATTR_FAMILY_ID) family_ = number_in<uint16_t>(value).value_or(0);
    if (type != CTRL_ATTR_MCAST_GROUPS) return;
    // There is one group.
    for_attributes(value, [&](int, std::span<const std::byte> group) {
      for_attributes(group, [&](int part, std::span<const std::byte> number) {
        if (part == CTRL_ATTR_MCAST_GRP_ID) deaths_group_ = number_in<uint32_t>(number).value_or(0);
      });
    });
  });
  if (family_ == 0 || deaths_group_ == 0)
    return Error{Code::invalid, "netlink: expected the numbers of the family nbd"};
  return {};
}

Result<Socket> NbdNetlink::listen_for_deaths() {
  Socket socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC));
  if (socket.fd() < 0) return Error::from_errno(errno, "netlink socket");
  // A socket without an address is skipped: the kernel takes it for the sender.
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno(errno, "netlink address");
  if (::setsockopt(socket.fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &deaths_group_, sizeof deaths_group_) != 0)
    return Error::from_errno(errno, "netlink group of dead connections");
  return socket;
}

bool read_deaths(int listener, uint32_t index) {
  bool died = false;
  for (;;) {
    alignas(nlmsghdr) std::byte buffer[16384];
    const ssize_t n = ::recv(listener, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ENOBUFS) {  // some were lost
      died = true;
      continue;
    }
    if (n <= 0) return died;
    auto left = static_cast<size_t>(n);
    for (auto* at = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(at, left); at = NLMSG_NEXT(at, left))
      for_attributes(attributes_of({reinterpret_cast<const std::byte*>(at), at->nlmsg_len}),
                     [&](int type, std::span<const std::byte> value) {
                       died |= type == NBD_ATTR_INDEX && number_in<uint32_t>(value) == index;
                     });
  }
}

/// Sends a request; answers the first message that came before its acknowledgement (or nothing), or the kernel's error.
Result<std::vector<std::byte>> NbdNetlink::exchange(std::vector<std::byte> message) {
  auto& header = *reinterpret_cast<nlmsghdr*>(message.data());
  header.nlmsg_len = static_cast<uint32_t>(message.size());
  header.nlmsg_seq = sequence_++;
  if (::send(socket_.fd(), message.data(), message.size(), 0) < 0) return Error::from_errno(errno, "netlink");
  std::vector<std::byte> answer;
  for (;;) {
    alignas(nlmsghdr) std::byte buffer[16384];
    const ssize_t n = ::recv(socket_.fd(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno(errno, "netlink");
    auto left = static_cast<size_t>(n);
    for (auto* at = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_seq != header.nlmsg_seq) continue;
      const auto* bytes = reinterpret_cast<const std::byte*>(at);
      if (at->nlmsg_type != NLMSG_ERROR) {
        if (answer.empty()) answer.assign(bytes, bytes + at->nlmsg_len);
        continue;
      }
      if (at->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) return Error{Code::invalid, "netlink: a short error"};
      const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(at))->error;
      if (error != 0) return Error::from_errno(error, "netlink");
      return answer;
    }
  }
}

Result<uint32_t> NbdNetlink::connect(std::optional<uint32_t> index, const DeviceSettings& device,
                                     std::span<const int> sockets) {
  Message message(family_, NBD_CMD_CONNECT);
  if (index) message.put(NBD_ATTR_INDEX, *index);
  message.put(NBD_ATTR_SIZE_BYTES, device.facts.size_bytes)
      .put(NBD_ATTR_BLOCK_SIZE_BYTES, uint64_t{device.block_bytes})
      .put(NBD_ATTR_TIMEOUT, uint64_t{device.timeout_s})
      .put(NBD_ATTR_DEAD_CONN_TIMEOUT, uint64_t{device.dead_timeout_s})
      .put(NBD_ATTR_SERVER_FLAGS, uint64_t{device.facts.flags})
      .put(NBD_ATTR_CLIENT_FLAGS, uint64_t{0});
  message.put_sockets(sockets);
  const Result<std::vector<std::byte>> done = exchange(message.take());
  const std::string name = index ? device_name(*index) : "a free device";
  if (!done && done.error().code == Code::busy)
    return Error{Code::busy, name + " has just been attached by another program"};
  if (!done) return Error{done.error().code, name + ": " + done.error().message};
  std::optional<uint32_t> connected = index;
  for_attributes(attributes_of(*done), [&](int type, std::span<const std::byte> value) {
    if (type == NBD_ATTR_INDEX) connected = number_in<uint32_t>(value);
  });
  if (!connected) return Error{Code::invalid, "netlink: expected the number of the device that was connected"};
  return *connected;
}

Result<void> NbdNetlink::offer_socket(uint32_t index, int socket) {
  Message message(family_, NBD_CMD_RECONFIGURE);
  message.put(NBD_ATTR_INDEX, index);
  message.put_sockets({&socket, 1});
  Result<std::vector<std::byte>> done = exchange(message.take());
  if (done) return {};
  // The driver has one error for all that it can have against an offer; of a stream socket it is that the device is gone.
  const Code code = done.error().code == Code::invalid ? Code::shutdown : done.error().code;
  return Error{code, device_name(index) + ": " + done.error().message};
}

Result<void> NbdNetlink::resize(uint32_t index, uint64_t size_bytes) {
  Message message(family_, NBD_CMD_RECONFIGURE);
  message.put(NBD_ATTR_INDEX, index).put(NBD_ATTR_SIZE_BYTES, size_bytes);
  Result<std::vector<std::byte>> done = exchange(message.take());
  if (done) return {};
  return Error{done.error().code, device_name(index) + ": " + done.error().message};
}

Result<void> NbdNetlink::disconnect(uint32_t index) {
  Message message(family_, NBD_CMD_DISCONNECT);
  message.put(NBD_ATTR_INDEX, index);
  Result<std::vector<std::byte>> done = exchange(message.take());
  if (done) return {};
  return Error{done.error().code, device_name(index) + ": " + done.error().message};
}

bool took_socket(int socket) {
  timeval time{};
  socklen_t length = sizeof time;
  return ::getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, &length) == 0 && (time.tv_sec != 0 || time.tv_usec != 0);
}

bool is_connected(uint32_t index) {
  return ::access(("/sys/block/nbd" + std::to_string(index) + "/pid").c_str(), F_OK) == 0;
}

}  // namespace atl::attach
