// handshake.h: the option haggling of fixed newstyle, from bytes to decisions and back, with no socket and no thread.
//
// The owner feeds received bytes to consume(), sends what take_output() gives, and answers what the machine asks:
//
//   negotiating --consume--> open_wanted --found / not_found--> negotiating | transmission
//                            list_wanted --list / no_list-----> negotiating
//                            tls_wanted  --tls_started--------> negotiating    (send the output, then upgrade)
//                            closed                (send the output, then close)
//
// Invariants
//   1. An option is read to its full length before it is answered, whatever is wrong with it (EXPORT_NAME, which has no
//      error reply, closes instead). At most limits.option_bytes of it are kept.
//   2. After an error reply the session goes on, and what was negotiated before stays, except that every
//      SET_META_CONTEXT first clears the contexts.
//   3. consume() stops as soon as there is output, so a peer that does not read its replies is not listened to.
//   4. GO and INFO send INFO_EXPORT before ACK. After the last byte of GO, EXPORT_NAME or an acknowledged STARTTLS no further
//      input is consumed: what comes behind it is the owner's.
//   5. STARTTLS forgets all that was negotiated before it, but the client flags.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "nbd/protocol/exports.h"
#include "nbd/protocol/limits.h"
#include "nbd/protocol/protocol.h"
#include "nbd/protocol/transmission.h"

namespace atl::nbd {

/// What the client is told of an export.
struct ExportFacts {
  uint64_t size_bytes = 0;
  bool read_only = false;
  BlockSizes block_sizes{};
  std::string canonical_name;
  std::string description;
  std::vector<MetaContext> contexts;  // what it offers beside base:allocation, as far as meta_queries() asks
};

/// What the transmission phase inherits.
struct Negotiated {
  bool structured = false;  // by either option
  bool extended = false;    // extended headers
  std::vector<SelectedContext> contexts;
};

class Handshake {
 public:
  enum class State : uint8_t { negotiating, open_wanted, list_wanted, tls_wanted, transmission, closed };

  /// The greeting is in the output at once.
  explicit Handshake(const NbdLimits& limits, TlsMode tls = TlsMode::off);

  State state() const { return state_; }
  /// The export in question in open_wanted; the chosen one in transmission.
  const std::string& export_name() const { return name_; }
  const Negotiated& negotiated() const { return negotiated_; }
  /// In open_wanted, and right after the answer: whether the option begins the transmission phase (GO, EXPORT_NAME).
  bool enters() const { return option_ == Option::go || option_ == Option::export_name; }
  /// In open_wanted: the queries of a metadata option; null when the export is asked for by another one.
  const MetaQueries* meta_queries() const { return is_meta_option() ? &queries_ : nullptr; }

  /// Takes a prefix of `input` and answers its length. Takes nothing while there is output or a question.
  size_t consume(Bytes input);

  std::vector<std::byte> take_output() { return std::exchange(output_, {}); }
  bool has_output() const { return !output_.empty(); }

  // Answers. REQUIRES: the state that asks.
  void found(const ExportFacts& facts);
  /// `message` is for people, and is cut to 4096 bytes.
  void not_found(OptionReply error, std::string_view message);
  void list(const std::vector<std::string>& names);
  void no_list(OptionReply error, std::string_view message);
  /// From here on all input and output goes through TLS.
  void tls_started();

  /// From now on every option gets this error (a server that goes down or is full); ABORT is still acknowledged, and
  /// EXPORT_NAME still closes. A question already asked is answered as usual by the owner.
  void refuse_all(OptionReply error, std::string message);

 private:
  enum class Stage : uint8_t { client_flags, option_header, option_data, option_skip };

  void take_client_flags(uint32_t flags);
  void take_option_header();
  bool must_upgrade() const;
  void take_option();
  void skipped_option();
  void open_option();
  void meta_context_option();
  bool is_meta_option() const { return option_ == Option::list_meta_context || option_ == Option::set_meta_context; }
  void answer_meta_contexts(const std::vector<MetaContext>& offered);
  void keep_contexts_of_this_name();
  void found_by_export_name(const ExportFacts& facts);
  void send_info(const ExportFacts& facts);

  void reply(OptionReply type, std::string_view data = {});
  void begin_reply(OptionReply type, size_t data_bytes);
  void end_option() { stage_ = Stage::option_header; }
  void close() { state_ = State::closed; }

  const NbdLimits& limits_;
  const TlsMode tls_;
  bool secure_ = false;  // TLS is on
  State state_ = State::negotiating;
  Stage stage_ = Stage::client_flags;
  bool fixed_ = false;
  bool no_zeroes_ = false;

  std::array<std::byte, option_header_bytes> fixed_part_{};
  size_t fixed_part_have_ = 0;
  Option option_{};
  uint32_t option_left_ = 0;     // bytes of the option's data not yet received
  std::vector<std::byte> data_;  // of options whose data is kept
  OptionReply skip_reply_{};     // what a skipped option is answered
  std::string_view skip_message_;
  uint32_t options_ = 0;

  std::string name_;         // of the option that is being answered
  std::vector<Info> infos_;  // GO, INFO: what was asked for
  MetaQueries queries_;      // *_META_CONTEXT

  Negotiated negotiated_;
  std::string contexts_name_;  // the export the contexts were set for

  OptionReply refusal_{};  // ack: none
  std::string refusal_message_;

  std::vector<std::byte> output_;
};

/// The rules of the transmission phase after this handshake.
TransmissionRules rules_after(const Negotiated& negotiated, bool read_only, const BlockSizes& block_sizes);

/// The transmission flags of an export (proto.md "Transmission flags"); `negotiated` has only contexts of this export.
/// `asked_by` decides whether contexts that are not selected yet may still be.
uint16_t transmission_flags(bool read_only, const Negotiated& negotiated, Option asked_by);

}  // namespace atl::nbd
