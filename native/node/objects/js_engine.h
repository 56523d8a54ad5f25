// js_engine.h: the engine as JavaScript sees it (src/addon/contract.ts is its contract, method by method).
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "node/host.h"
#include "node/js_queue.h"
#include "node/objects/js_log.h"
#include "node/objects/js_resolver.h"

namespace atl::node {

class JsEngine : public Napi::ObjectWrap<JsEngine> {
 public:
  static Napi::Function define(Napi::Env env);
  /// `openEngine(options)` of the addon: a promise of a JsEngine.
  static Napi::Value open_engine(const Napi::CallbackInfo& info);

  explicit JsEngine(const Napi::CallbackInfo& info);
  ~JsEngine() override;

 private:
  using Info = const Napi::CallbackInfo&;

  Napi::Value info(Info info);
  Napi::Value counters(Info info);
  Napi::Value export_counters(Info info);
  Napi::Value open(Info info);
  Napi::Value close(Info info);
  Napi::Value is_open(Info info);
  Napi::Value read(Info info);
  Napi::Value reading_begin(Info info);
  Napi::Value reading_read(Info info);
  Napi::Value reading_send(Info info);
  Napi::Value reading_end(Info info);
  Napi::Value send_cancel(Info info);
  Napi::Value send_began(Info info);
  Napi::Value send_waited_ms(Info info);
  Napi::Value write(Info info);
  Napi::Value write_zeroes(Info info);
  Napi::Value trim(Info info);
  Napi::Value flush(Info info);
  Napi::Value extents(Info info);
  Napi::Value diff(Info info);
  Napi::Value quiesce(Info info);
  Napi::Value resume(Info info);
  Napi::Value drop_layer(Info info);
  Napi::Value merge_step(Info info);
  Napi::Value unlink_layer(Info info);
  Napi::Value layers(Info info);
  Napi::Value ingest_start(Info info);
  Napi::Value ingest_write(Info info);
  Napi::Value ingest_finish(Info info);
  Napi::Value ingest_abort(Info info);
  Napi::Value ingest_whole(Info info);
  Napi::Value usage(Info info);
  Napi::Value check(Info info);
  Napi::Value repair(Info info);
  Napi::Value recover(Info info);
  Napi::Value scrub(Info info);
  Napi::Value chunk_places(Info info);
  Napi::Value mark_bad(Info info);
  Napi::Value record_blocks(Info info);
  Napi::Value records_reach(Info info);
  Napi::Value presence(Info info);
  Napi::Value reclaimed(Info info);
  Napi::Value nbd_callbacks(Info info);
  Napi::Value nbd_tls(Info info);
  Napi::Value nbd_listen(Info info);
  Napi::Value nbd_disconnect(Info info);
  Napi::Value nbd_reconnect(Info info);
  Napi::Value shutdown(Info info);

  /// Throws a JavaScript error when the engine was shut down.
  Host& host(Napi::Env env);
  std::shared_ptr<Resource> resource(Info info);
  std::shared_ptr<Ingest> ingest(Info info);
  std::shared_ptr<Resource> reading(Info info);
  Napi::Value read_from(Info info, const std::shared_ptr<Resource>& from);

  std::shared_ptr<JsLog> log_;  // the host's; goes after it
  /// Tasks hold it too: the engine must not go while one of them runs.
  std::shared_ptr<Host> host_;
  std::shared_ptr<JsQueue> queue_;
  std::unique_ptr<JsResolver> resolver_;
  std::unordered_map<uint32_t, std::shared_ptr<Ingest>> ingests_;
  uint32_t next_ingest_ = 1;
  std::unordered_map<uint32_t, std::shared_ptr<Resource>> readings_;
  uint32_t next_reading_ = 1;
  uint32_t whole_ingests_ = 0;  // under way, without a handle
};

}  // namespace atl::node
