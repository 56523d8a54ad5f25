// connection.h: one connection, from accept to close: a reading task, one task for each request, and a pump that sends.
//
//   socket -> input_ -> handshake | requests -> serve_*() -> device -> Reply -> out_ -> pump() -> one sendmsg
//
// Invariants
//   1. All of it runs on one loop at a time (loop_): the accepting one, and from the choice of an export on the device's home.
//   2. At most one recv and one sendmsg are in flight. Between two recvs input_ holds less than one request: what there is
//      of a WRITE's payload is copied out of it, the rest is received straight into the payload's own aligned buffer. Where
//      requests and payloads begin and end is requests_' to say (request_stream.h).
//   3. A request is in flight from its header until its reply has been handed to the kernel. Its buffers and its share of the
//      budget (Account) are held that long, so a peer that does not read its replies is soon not listened to.
//   4. Replies of one turn of the loop leave in one sendmsg, but for large bodies that the kernel takes out of a file by itself.
//   5. The descriptor is closed when nothing is in flight on it: no request, no recv, no send.
//   6. With TLS (connection_tls.cc) input_ holds plaintext only, and what the pump sends is what TLS made of the replies.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/async.h"
#include "nbd/protocol/exports.h"
#include "nbd/protocol/handshake.h"
#include "nbd/protocol/request_stream.h"
#include "nbd/protocol/transmission.h"
#include "nbd/server/buffer_pool.h"
#include "nbd/server/server_state.h"
#include "nbd/tls/tls_session.h"

namespace atl::nbd {

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  enum class Demand : uint8_t { none, revoke, leave, cut };

  Connection(std::shared_ptr<ServerState> state, ServerLoop& loop, int fd, Door door, TlsMode tls);
  ~Connection();

  /// On the accepting loop: counts it in and starts it, or closes the descriptor.
  static void start(std::shared_ptr<ServerState> state, ServerLoop& loop, int fd, Door door, TlsMode tls);

  /// Any thread. A demand only grows.
  /// revoke: the right to the export has ended. What is in flight is answered, what comes after gets ESHUTDOWN, for there is
  ///   nothing to come back to; then it is closed.
  /// leave: the client is expected back, because the server goes down or the export has a new size. What is in flight is answered,
  ///   what comes after is not: clients that reconnect (QEMU, the kernel's) send an unanswered request again, and hand an ESHUTDOWN to
  ///   the user as an I/O error.
  /// cut: the socket is shut down now.
  void demand(Demand what);

  /// Under the state's mutex: true if this connection uses the export with this canonical name, or (while the name is being looked
  /// up) if its client asked for this name.
  bool came_by(const std::string& name) const { return named_ && name == name_; }
  /// Under the state's mutex: the client has chosen its export, and the size that it is told was read after this became true.
  bool entered() const { return entered_; }

  /// On its loop: cuts it when a deadline has passed, lets it go when it was idle for too long; true while there is a reason to
  /// look again.
  bool check_deadlines(uint64_t now_ns);

 private:
  friend struct ServerLoop;
  friend struct ServerState;
  using Detached = detail::Detached;

  /// In the frame of the task that serves the request.
  struct Reply {
    ReplyHead head;
    Bytes body;
    std::string text;  // the message of an error chunk, and what follows it
    // A body that the kernel is to take out of a file (connection_lent.cc): where the device has it, and how much.
    uint64_t lent_at = 0;
    uint64_t lent_bytes = 0;
    Buffer copied;  // what could not be sent so
    Reply* next = nullptr;
    bool sent = false;
    std::coroutine_handle<> waiter{};
    /// Up to the end of what is lent.
    size_t lent_end() const { return head.size + lent_bytes; }
    size_t bytes() const { return lent_end() + body.size(); }
  };
  struct Sent {
    Reply& reply;
    bool await_ready() const noexcept { return reply.sent; }
    void await_suspend(std::coroutine_handle<> handle) noexcept { reply.waiter = handle; }
    void await_resume() const noexcept {}
  };
  struct LargeWrite;
  /// What a request costs beside its payload: its task's frames and the device's.
  static constexpr uint64_t request_charge = 1024;
  static constexpr uint64_t status_charge_per_extent = sizeof(Extent) + sizeof(StatusRun) + 16;

  // connection.cc: life, input
  static Task<void> live(std::shared_ptr<Connection> self);
  Task<void> run();
  Task<void> finish();
  void obey();
  void enter_export();
  void leave_export();
  void linger_if_idle();
  void leave_if_idle(uint64_t now_ns);
  void cut();
  void arm(uint64_t& deadline, uint32_t delay_ms);
  Loop& loop() const { return loop_.load(std::memory_order_relaxed)->loop; }
  ServerLoop& home() const { return *loop_.load(std::memory_order_relaxed); }
  Task<void> move_to(Executor& executor);

  Task<bool> receive();
  void release_input();
  Task<bool> receive_payload(MutableBytes into);
  Task<bool> drop_payload();

  // connection_handshake.cc
  Task<bool> negotiate();
  uint64_t stop_clock();
  void start_clock(uint64_t left_ns);
  Task<void> answer_open(Handshake& handshake);
  Task<void> answer_list(Handshake& handshake);
  Task<bool> send_all(Bytes bytes);
  void set_name(const std::string& name);
  void forget_name();

  // connection_tls.cc
  Task<bool> start_tls(Handshake& handshake);
  Task<int32_t> receive_decrypted(MutableBytes into);
  Task<int32_t> send_encrypted(std::span<const iovec> parts);
  Task<bool> send_tls_output();
  Task<void> say_goodbye();
  Task<void> wait_for_peer_to_leave();
  void report_tls(const std::string& words);

  // connection_requests.cc
  Task<bool> transmit();
  void reader_waits();
  bool in_pieces(const Request& request) const;
  uint64_t first_charge(const Request& request) const;
  void serve(const Request& request, uint64_t charge);
  Task<bool> take_write(Request request, uint64_t charge);
  Task<bool> take_large_write(Request request);
  Detached serve_write(Request request, Buffer buffer, uint64_t charge);
  Detached write_piece(std::shared_ptr<LargeWrite> write, uint64_t offset, Buffer buffer, uint32_t length);
  Detached finish_large_write(std::shared_ptr<LargeWrite> write);
  Detached refuse(Request request, Verdict verdict);
  void begin_request(const Request& request);
  void count_request(Command command);
  void count_read(uint64_t bytes);
  void count_written(uint64_t bytes);
  void queue_last(Reply& reply, const Request& request);
  void answered(const Request& request);
  void end_request(uint64_t charge);
  Result<void> still_inside(uint64_t offset, uint64_t length) const;
  void error_reply(Reply& reply, const Request& request, NbdError error, std::string_view message,
                   std::optional<uint64_t> offset = std::nullopt);
  void device_error_reply(Reply& reply, const Request& request, const Error& error,
                          std::optional<uint64_t> offset = std::nullopt);
  void report_failure(Command command, uint64_t offset, uint64_t length, const Error& error);

  // connection_ranges.cc
  Detached serve_plain(Request request);
  Task<Result<void>> change_range(Request request);
  Task<Result<void>> change_step(Command command, uint64_t offset, uint64_t length, WriteFlags flags);
  Result<void> may_go_on(uint64_t offset, uint64_t length) const;
  Detached serve_status(Request request, uint64_t charge);
  Task<Result<std::vector<StatusRun>>> status_of(const SelectedContext& context, uint64_t offset, uint64_t length,
                                                 uint32_t max_runs);
  Task<Result<std::vector<StatusRun>>> status_step(const SelectedContext& context, uint64_t offset, uint64_t length,
                                                   uint32_t max_runs);

  // connection_reads.cc
  Detached serve_read(Request request, uint64_t charge);
  Detached serve_large_read(Request request);
  Task<Result<void>> read_from_device(uint64_t at, MutableBytes into, std::vector<ZeroRun>& zeroes);
  static void fill_for_one_chunk(MutableBytes bytes, std::vector<ZeroRun>& zeroes);
  void queue_content(std::vector<Reply>& chunks, const Request& request, uint64_t at, Bytes bytes,
                     const std::vector<ZeroRun>& zeroes, bool last);

  // connection_lent.cc
  bool may_lend(uint64_t at, uint64_t length) const;
  void lend(Reply& reply, const Request& request, uint64_t at, uint32_t length, bool last) const;
  Task<int32_t> send_lent();
  Task<int32_t> copy_lent(Reply& reply, uint64_t done);

  // connection_pump.cc
  void queue(Reply& reply);
  Sent sent(Reply& reply) { return Sent{reply}; }
  void start_pump();
  bool has_something_to_send() const { return out_first_ != nullptr || (tls_ != nullptr && tls_->has_output()); }
  Detached pump();
  Reply* take_sent(size_t bytes);
  void fail_queue();
  void wake_finish();

  const std::shared_ptr<ServerState> state_;
  std::atomic<ServerLoop*> loop_;
  std::atomic<Demand> demand_{Demand::none};
  const int fd_;
  const Door door_;
  const TlsMode tls_mode_;
  bool over_limit_ = false;
  Place place_;         // guarded by the state's mutex, like the next three
  bool named_ = false;  // "" is a name too
  std::string name_;
  bool entered_ = false;

  Connection* next_on_loop_ = nullptr;  // ServerLoop's list
  Connection** prev_on_loop_ = nullptr;

  Handshake* handshake_ = nullptr;  // while it runs
  std::string open_name_;           // what open_ was asked for
  std::string open_canonical_;      // its canonical name
  std::optional<OpenExport> open_;
  std::string label_;                         // its name in the registry
  std::shared_ptr<ExportCounters> counters_;  // while it is transmitting
  std::string said_;                          // what its last report said, and until when that need not be repeated
  uint64_t said_until_ns_ = 0;
  TransmissionRules rules_;
  std::unique_ptr<TlsSession> tls_;  // null: in the clear

  static constexpr size_t busy_input_bytes = 64u << 10;  // connection.cc tells when
  Buffer input_buffer_;
  InputWindow input_;  // in input_buffer_
  RequestStream requests_{input_, rules_};
  size_t received_last_ = 0;
  bool payload_ahead_ = false;  // the last WRITE was too large for input_, and the next may well be

  bool draining_ = false;   // a demand was heard: closed when what is in flight has been answered
  bool deaf_ = false;       // what comes is dropped, and not answered
  bool lingering_ = false;  // all is said: our side of the stream has ended
  bool broken_ = false;     // the socket takes no more replies
  bool abandoned_ = false;  // the stream ended without DISC: what takes many steps is not carried on
  bool transmitting_ = false;
  bool reading_ = false;           // the reader runs: it starts the pump before it waits
  uint64_t deadline_ns_ = 0;       // of the handshake and of lingering; 0: none
  uint64_t send_deadline_ns_ = 0;  // of the sendmsg in flight
  uint64_t begun_ = 0;             // requests
  uint64_t begun_seen_ = 0;        // when the ticks looked last
  uint64_t active_ns_ = 0;         // when they last saw something going on

  Account account_;
  uint32_t in_flight_ = 0;
  Waiters room_;   // the reader, when too much is in flight
  Waiters quiet_;  // finish()

  Reply* out_first_ = nullptr;
  Reply** out_last_ = &out_first_;
  size_t out_done_ = 0;  // bytes of the first reply that are sent already
  bool pumping_ = false;
  bool pump_posted_ = false;
  struct PumpJob : Job {
    Connection* connection = nullptr;
  } pump_job_;
};

}  // namespace atl::nbd
