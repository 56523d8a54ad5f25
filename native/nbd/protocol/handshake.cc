#include "nbd/protocol/handshake.h"

#include <algorithm>

namespace atl::nbd {
namespace {

bool is_error(OptionReply type) { return (static_cast<uint32_t>(type) & 0x80000000u) != 0; }

/// Whether the option's data is kept; that of all others is skipped, however long it is.
bool keeps_data(Option option) {
  switch (option) {
    case Option::export_name:
    case Option::info:
    case Option::go:
    case Option::list_meta_context:
    case Option::set_meta_context: return true;
    default: return false;
  }
}

std::string_view cut(std::string_view text) {
  // Not in the middle of a UTF-8 sequence.
  if (text.size() <= max_string_bytes) return text;
  size_t end = max_string_bytes;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) end--;
  return text.substr(0, end);
}

}  // namespace

TransmissionRules rules_after(const Negotiated& negotiated, bool read_only, const BlockSizes& block_sizes) {
  TransmissionRules rules;
  rules.structured = negotiated.structured;
  rules.extended = negotiated.extended;
  rules.contexts = negotiated.contexts;
  rules.read_only = read_only;
  rules.block_sizes = block_sizes;
  return rules;
}

uint16_t transmission_flags(bool read_only, const Negotiated& negotiated, Option asked_by) {
  // FLUSH and FUA also on read-only exports: clients send them, and they cost nothing there.
  uint16_t flags = tflag_has_flags | tflag_send_flush | tflag_send_fua | tflag_send_cache | tflag_can_multi_conn;
  if (negotiated.structured) flags |= tflag_send_df;
  // "MUST NOT advertise this bit unless the client successfully negotiates extended headers", and in the answer to EXPORT_NAME and
  // GO SHOULD NOT without contexts. After INFO a client can still select some.
  if (negotiated.extended && (asked_by == Option::info || !negotiated.contexts.empty()))
    flags |= tflag_block_status_payload;
  if (read_only)
    flags |= tflag_read_only;
  else
    flags |= tflag_send_trim | tflag_send_write_zeroes | tflag_send_fast_zero;
  return flags;
}

Handshake::Handshake(const NbdLimits& limits, TlsMode tls) : limits_(limits), tls_(tls) {
  append_be(output_, init_magic);
  append_be(output_, option_magic);
  append_be(output_, static_cast<uint16_t>(flag_fixed_newstyle | flag_no_zeroes));
}

size_t Handshake::consume(Bytes input) {
  size_t used = 0;
  while (state_ == State::negotiating && output_.empty()) {
    const Bytes rest = input.subspan(used);
    switch (stage_) {
      case Stage::client_flags:
      case Stage::option_header: {
        const size_t want = stage_ == Stage::client_flags ? 4 : option_header_bytes;
        const size_t n = std::min(want - fixed_part_have_, rest.size());
        std::copy_n(rest.begin(), n, fixed_part_.begin() + static_cast<ptrdiff_t>(fixed_part_have_));
        used += n;
        fixed_part_have_ += n;
        if (fixed_part_have_ < want) return used;
        fixed_part_have_ = 0;
        if (stage_ == Stage::client_flags)
          take_client_flags(load_be<uint32_t>(fixed_part_.data()));
        else
          take_option_header();
        break;
      }
      case Stage::option_data: {
        const size_t n = std::min<size_t>(option_left_, rest.size());
        data_.insert(data_.end(), rest.begin(), rest.begin() + static_cast<ptrdiff_t>(n));
        used += n;
        option_left_ -= static_cast<uint32_t>(n);
        if (option_left_ > 0) return used;
        end_option();
        take_option();
        break;
      }
      case Stage::option_skip: {
        const size_t n = std::min<size_t>(option_left_, rest.size());
        used += n;
        option_left_ -= static_cast<uint32_t>(n);
        if (option_left_ > 0) return used;
        end_option();
        skipped_option();
        break;
      }
    }
  }
  return used;
}

void Handshake::take_client_flags(uint32_t flags) {
  // "the server MUST drop the TCP connection if the client sets an unknown flag"
  if ((flags & ~uint32_t{flag_fixed_newstyle | flag_no_zeroes}) != 0) return close();
  fixed_ = (flags & flag_fixed_newstyle) != 0;
  no_zeroes_ = (flags & flag_no_zeroes) != 0;
  stage_ = Stage::option_header;
}

void Handshake::take_option_header() {
  const std::byte* header = fixed_part_.data();
  if (load_be<uint64_t>(header) != option_magic) return close();
  option_ = Option{load_be<uint32_t>(header + 8)};
  const uint32_t length = load_be<uint32_t>(header + 12);
  option_left_ = length;
  data_.clear();
  // A client that did not agree to fixed newstyle knows no replies: "This is the only valid option in nonfixed newstyle".
  if (!fixed_ && option_ != Option::export_name) return close();
  if (++options_ > limits_.options) return close();
  // "Issuing this command replaces all previously-set metadata contexts (including when this command fails)"
  if (option_ == Option::set_meta_context) negotiated_.contexts.clear();

  if (must_upgrade()) {
    if (option_ == Option::export_name) return close();
    stage_ = Stage::option_skip;
    skip_reply_ = OptionReply::err_tls_reqd;
    skip_message_ = "this server requires TLS: begin with NBD_OPT_STARTTLS";
    return;
  }
  if (option_ == Option::export_name && length > max_string_bytes) return close();  // no error reply exists
  if (keeps_data(option_) && length <= limits_.option_bytes) {
    stage_ = Stage::option_data;
    return;
  }
  stage_ = Stage::option_skip;
  skip_message_ = {};
  if (keeps_data(option_)) {
    skip_reply_ = OptionReply::err_too_big;
    skip_message_ = "the option is longer than this server reads";
    return;
  }
  switch (option_) {
    case Option::abort: skip_reply_ = OptionReply::ack; break;  // "a server SHOULD ignore any data sent by the client"
    case Option::list:
    case Option::structured_reply:
    case Option::extended_headers:
      skip_reply_ = length == 0 ? OptionReply::ack : OptionReply::err_invalid;
      if (length != 0) {
        skip_message_ = "this option takes no data";
      } else if (option_ == Option::structured_reply && negotiated_.extended) {
        skip_reply_ = OptionReply::err_ext_header_reqd;
        skip_message_ = "extended headers are negotiated already, and structured replies cannot take their place";
      } else if (option_ == Option::structured_reply && negotiated_.structured) {
        skip_reply_ = OptionReply::err_invalid;
        skip_message_ = "structured replies are negotiated already";
      } else if (option_ == Option::extended_headers && negotiated_.extended) {
        skip_reply_ = OptionReply::err_invalid;
        skip_message_ = "extended headers are negotiated already";
      }
      break;
    case Option::starttls:
      skip_reply_ = tls_ == TlsMode::off ? OptionReply::err_unsup : OptionReply::ack;
      if (tls_ != TlsMode::off && (length != 0 || secure_)) skip_reply_ = OptionReply::err_invalid;
      if (tls_ != TlsMode::off) skip_message_ = length != 0 ? "this option takes no data" : "TLS is on already";
      break;
    default: skip_reply_ = OptionReply::err_unsup; break;
  }
}

/// proto.md "FORCEDTLS mode"; of the options that may come before TLS, STARTTLS and ABORT.
bool Handshake::must_upgrade() const {
  return tls_ == TlsMode::required && !secure_ && option_ != Option::starttls && option_ != Option::abort;
}

void Handshake::tls_started() {
  VERIFY(state_ == State::tls_wanted && !has_output());
  secure_ = true;
  state_ = State::negotiating;
}

void Handshake::skipped_option() {
  if (option_ == Option::abort) {
    reply(OptionReply::ack);
    return close();
  }
  if (skip_reply_ == OptionReply::err_tls_reqd) return reply(skip_reply_, skip_message_);
  if (refusal_ != OptionReply{}) return reply(refusal_, refusal_message_);
  if (is_error(skip_reply_)) return reply(skip_reply_, skip_message_);
  if (option_ == Option::list) {
    state_ = State::list_wanted;
    return;
  }
  if (option_ == Option::starttls) {
    // Whoever sat between us may have said it.
    negotiated_ = {};
    contexts_name_.clear();
    reply(OptionReply::ack);
    state_ = State::tls_wanted;
    return;
  }
  VERIFY(option_ == Option::structured_reply || option_ == Option::extended_headers);
  negotiated_.structured = true;
  if (option_ == Option::extended_headers) negotiated_.extended = true;
  reply(OptionReply::ack);
}

void Handshake::take_option() {
  if (refusal_ != OptionReply{}) {
    if (option_ == Option::export_name) return close();
    return reply(refusal_, refusal_message_);
  }
  switch (option_) {
    case Option::export_name:
      name_.assign(reinterpret_cast<const char*>(data_.data()), data_.size());
      // "Once extended headers are successfully requested, a client MUST NOT use NBD_OPT_EXPORT_NAME."
      if (!valid_string(name_) || negotiated_.extended) return close();
      state_ = State::open_wanted;
      return;
    case Option::info:
    case Option::go: return open_option();
    case Option::list_meta_context:
    case Option::set_meta_context: return meta_context_option();
    default: VERIFY(!"an option whose data is kept");
  }
}

void Handshake::open_option() {
  WireReader reader(data_);
  const auto name = reader.text(reader.number<uint32_t>());
  const auto count = reader.number<uint16_t>();
  if (!reader.ok() || reader.left() != size_t{count} * 2)
    return reply(OptionReply::err_invalid, "the lengths inside the option disagree with its own");
  if (!valid_string(name)) return reply(OptionReply::err_invalid, "an export name is UTF-8 of at most 4096 bytes");
  name_ = name;
  infos_.clear();
  for (uint16_t i = 0; i < count; i++) infos_.push_back(Info{reader.number<uint16_t>()});
  state_ = State::open_wanted;
}

void Handshake::meta_context_option() {
  if (!negotiated_.structured)
    return reply(OptionReply::err_invalid,
                 "metadata contexts need structured replies or extended headers to be negotiated first");
  WireReader reader(data_);
  const auto name = reader.text(reader.number<uint32_t>());
  const auto count = reader.number<uint32_t>();
  if (!reader.ok()) return reply(OptionReply::err_invalid, "the lengths inside the option disagree with its own");
  if (!valid_string(name)) return reply(OptionReply::err_invalid, "an export name is UTF-8 of at most 4096 bytes");
  if (count > limits_.meta_queries) return reply(OptionReply::err_too_big, "too many metadata context queries");
  queries_.list = option_ == Option::list_meta_context;
  queries_.names.clear();
  for (uint32_t i = 0; i < count; i++) {
    const auto query = reader.text(reader.number<uint32_t>());
    if (!reader.ok()) return reply(OptionReply::err_invalid, "the lengths inside the option disagree with its own");
    if (!valid_string(query))
      return reply(OptionReply::err_invalid, "a metadata context query is UTF-8 of at most 4096 bytes");
    queries_.names.emplace_back(query);
  }
  if (reader.left() != 0) return reply(OptionReply::err_invalid, "the lengths inside the option disagree with its own");
  name_ = name;
  state_ = State::open_wanted;
}

void Handshake::answer_meta_contexts(const std::vector<MetaContext>& offered) {
  const bool set = option_ == Option::set_meta_context;
  std::vector<SelectedContext> selected = select_contexts(queries_, offered);
  if (set && selected.size() > limits_.meta_contexts)
    return reply(OptionReply::err_too_big, "more metadata contexts than one connection may select");
  for (const SelectedContext& context : selected) {
    begin_reply(OptionReply::meta_context, 4 + context.name.size());
    append_be(output_, set ? context.id : uint32_t{0});
    append_text(output_, context.name);
  }
  if (set) {
    negotiated_.contexts = std::move(selected);
    contexts_name_ = name_;
  }
  reply(OptionReply::ack);
}

/// "used the same export name for the subsequent NBD_OPT_GO"
void Handshake::keep_contexts_of_this_name() {
  if (contexts_name_ != name_) negotiated_.contexts.clear();
}

void Handshake::found(const ExportFacts& facts) {
  VERIFY(state_ == State::open_wanted);
  state_ = State::negotiating;
  if (option_ == Option::export_name) return found_by_export_name(facts);
  if (is_meta_option()) return answer_meta_contexts(facts.contexts);
  send_info(facts);
  const bool sizes_asked = std::find(infos_.begin(), infos_.end(), Info::block_size) != infos_.end();
  if (facts.block_sizes.minimum > 1 && !sizes_asked)
    return reply(OptionReply::err_block_size_reqd, "this export has a minimum block size: ask for NBD_INFO_BLOCK_SIZE");
  reply(OptionReply::ack);
  if (option_ == Option::go) {
    keep_contexts_of_this_name();
    state_ = State::transmission;
  }
}

void Handshake::found_by_export_name(const ExportFacts& facts) {
  if (facts.block_sizes.minimum > 1) return close();  // it cannot be told the constraint
  keep_contexts_of_this_name();
  append_be(output_, facts.size_bytes);
  append_be(output_, transmission_flags(facts.read_only, negotiated_, option_));
  if (!no_zeroes_) output_.resize(output_.size() + 124);
  state_ = State::transmission;
}

void Handshake::send_info(const ExportFacts& facts) {
  const auto asked = [&](Info info) { return std::find(infos_.begin(), infos_.end(), info) != infos_.end(); };
  begin_reply(OptionReply::info, 12);
  append_be(output_, Info::export_);
  append_be(output_, facts.size_bytes);
  Negotiated for_this = negotiated_;
  if (contexts_name_ != name_) for_this.contexts.clear();
  append_be(output_, transmission_flags(facts.read_only, for_this, option_));
  if (asked(Info::name)) {
    const std::string_view canonical = facts.canonical_name.empty() ? std::string_view(name_) : facts.canonical_name;
    begin_reply(OptionReply::info, 2 + cut(canonical).size());
    append_be(output_, Info::name);
    append_text(output_, cut(canonical));
  }
  if (asked(Info::description) && !facts.description.empty()) {
    begin_reply(OptionReply::info, 2 + cut(facts.description).size());
    append_be(output_, Info::description);
    append_text(output_, cut(facts.description));
  }
  // Also unasked when the export insists on it, "to help avoid a potentially unnecessary round trip".
  if (asked(Info::block_size) || facts.block_sizes.minimum > 1) {
    begin_reply(OptionReply::info, 14);
    append_be(output_, Info::block_size);
    append_be(output_, facts.block_sizes.minimum);
    append_be(output_, facts.block_sizes.preferred);
    append_be(output_, facts.block_sizes.maximum);
  }
}

void Handshake::not_found(OptionReply error, std::string_view message) {
  VERIFY(state_ == State::open_wanted && is_error(error));
  state_ = State::negotiating;
  if (option_ == Option::export_name) return close();
  reply(error, message);
}

void Handshake::list(const std::vector<std::string>& names) {
  VERIFY(state_ == State::list_wanted);
  state_ = State::negotiating;
  for (const std::string& name : names) {
    if (!valid_string(name)) continue;  // it could not be asked for either
    begin_reply(OptionReply::server, 4 + name.size());
    append_be(output_, static_cast<uint32_t>(name.size()));
    append_text(output_, name);
  }
  reply(OptionReply::ack);
}

void Handshake::no_list(OptionReply error, std::string_view message) {
  VERIFY(state_ == State::list_wanted && is_error(error));
  state_ = State::negotiating;
  reply(error, message);
}

void Handshake::refuse_all(OptionReply error, std::string message) {
  VERIFY(is_error(error));
  refusal_ = error;
  refusal_message_ = std::move(message);
}

void Handshake::begin_reply(OptionReply type, size_t data_bytes) {
  append_be(output_, option_reply_magic);
  append_be(output_, option_);
  append_be(output_, type);
  append_be(output_, static_cast<uint32_t>(data_bytes));
}

void Handshake::reply(OptionReply type, std::string_view data) {
  data = cut(data);
  begin_reply(type, data.size());
  append_text(output_, data);
}

}  // namespace atl::nbd
