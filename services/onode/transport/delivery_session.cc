#include "services/onode/transport/delivery_session.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/errors.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::ingest::v1;

constexpr std::chrono::milliseconds kNoticePoll{100};

pb::FrameResult ResultOf(const FrameOutcome& outcome) {
  pb::FrameResult result;
  result.set_delivery_number(outcome.number);
  if (outcome.result == FrameOutcome::Result::kRefused) {
    result.set_outcome(pb::FrameResult::OUTCOME_REFUSED);
    result.set_reason(std::string(frame::ReasonName(outcome.reason)));
    result.set_passing(frame::IsPassing(outcome.reason));
    return result;
  }
  const bool appended = outcome.result == FrameOutcome::Result::kAppended;
  result.set_outcome(appended ? pb::FrameResult::OUTCOME_APPENDED : pb::FrameResult::OUTCOME_DUPLICATE);
  result.set_chain_sequence(outcome.sequence);
  result.set_leaf_hash(std::string(View(outcome.leaf)));
  result.set_entry_header(outcome.entry_header);
  return result;
}

template <typename Hashes>
void AddHashes(const Hashes& hashes, google::protobuf::RepeatedPtrField<std::string>* to) {
  for (const Hash& hash : hashes) to->Add(std::string(View(hash)));
}

void AddFrontier(const chain::Frontier& frontier, google::protobuf::RepeatedPtrField<std::string>* to) {
  const std::string bytes = frontier.ToBytes();
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(Hash)) to->Add(bytes.substr(at, sizeof(Hash)));
}

}  // namespace

absl::Status DeliverySession::SendWelcome(const pb::Hello& hello) {
  pb::DeliverResponse response;
  pb::Welcome& welcome = *response.mutable_welcome();
  welcome.set_max_batch_frames(limits_.batch_frames);
  welcome.set_max_batch_bytes(limits_.batch_bytes);
  welcome.set_max_unanswered_frames(limits_.unanswered_frames);
  welcome.set_chain_size(chain_.size());
  if (const auto checkpoint = chain_.latest_checkpoint()) {
    noticed_ = checkpoint->size;
    welcome.set_checkpoint(checkpoint->note);
    ASSIGN_OR_RETURN(const chain::Frontier frontier, chain_.tree().FrontierAt(checkpoint->size));
    AddFrontier(frontier, welcome.mutable_frontier());
    // The note was audited by the caller; here it only says from where to prove.
    const auto known = chain::ParseCheckpointUnverified(hello.checkpoint());
    if (known.ok() && known->size > 0 && known->size <= checkpoint->size) {
      ASSIGN_OR_RETURN(const auto proof, chain_.tree().Consistency(known->size, checkpoint->size));
      AddHashes(proof, welcome.mutable_consistency());
    }
  }
  return stream_.Write(response) ? absl::OkStatus() : Unavailable("the deliverer left");
}

absl::StatusOr<std::vector<Delivery>> DeliverySession::DeliveriesOf(const pb::FrameBatch& batch) {
  if (batch.frames_size() == 0 || batch.frames_size() > static_cast<int>(limits_.batch_frames)) {
    return InvalidField("batch.frames",
                        fmt::format("{} frames; 1 to {} are taken", batch.frames_size(), limits_.batch_frames));
  }
  std::vector<Delivery> deliveries;
  deliveries.reserve(static_cast<std::size_t>(batch.frames_size()));
  for (const pb::DeliveredFrame& from : batch.frames()) {
    if (from.delivery_number() <= last_number_) {
      return InvalidField("batch.frames.delivery_number",
                          fmt::format("{} does not rise above {}", from.delivery_number(), last_number_));
    }
    if (from.spelling() < pb::SPELLING_V1_LE || from.spelling() > pb::SPELLING_V2) {
      return InvalidField("batch.frames.spelling", fmt::format("{} is no spelling", static_cast<int>(from.spelling())));
    }
    last_number_ = from.delivery_number();
    deliveries.push_back({from.delivery_number(), from.source(), from.frame(),
                          static_cast<frame::Spelling>(from.spelling()), from.epoch()});
  }
  return deliveries;
}

absl::Status DeliverySession::WaitForRoom(std::size_t frames) {
  const MutexLock lock(mutex_);
  while (ended_.ok() && !closing_ && unanswered_ > 0 && unanswered_ + frames > limits_.unanswered_frames)
    changed_.wait(mutex_);
  RETURN_IF_ERROR(ended_);
  unanswered_ += frames;
  ++processing_;
  return absl::OkStatus();
}

// Nothing more is read meanwhile: the window closes, and the deliverer's spool keeps what comes.
absl::Status DeliverySession::WaitForAccount(const std::vector<Delivery>& deliveries) {
  if (limits_.deliverers == nullptr) return absl::OkStatus();
  std::uint64_t bytes = 0;
  for (const Delivery& delivery : deliveries) bytes += delivery.frame.size();
  if (limits_.deliverers->Admit(carrier_, deliveries.size(), bytes)) return absl::OkStatus();
  ++counters_.throttled;
  ++counters_.throttled_now;
  absl::Status status;
  do {
    const auto wait = std::min<std::chrono::nanoseconds>(limits_.deliverers->Until(carrier_), kNoticePoll);
    {
      const MutexLock lock(mutex_);
      changed_.wait_for(mutex_, wait);
      status = ended_;
    }
    if (status.ok()) status = guard_.Check();
    if (status.ok() && context_.IsCancelled()) status = Unavailable("the deliverer left");
  } while (status.ok() && !limits_.deliverers->Admit(carrier_, deliveries.size(), bytes));
  --counters_.throttled_now;
  return status;
}

absl::Status DeliverySession::Serve(const pb::Hello& hello) {
  RETURN_IF_ERROR(SendWelcome(hello));
  std::thread writer([this] { WriteAnswers(); });
  absl::Status status = absl::OkStatus();
  pb::DeliverRequest request;
  while (status.ok() && stream_.Read(&request)) {
    status = guard_.Check();
    if (!status.ok()) break;
    if (!request.has_batch()) {
      status = InvalidArgument("a second hello, or an empty request; after the hello only batches are taken");
      break;
    }
    auto deliveries = DeliveriesOf(request.batch());
    status = deliveries.status();
    if (!status.ok()) break;
    const std::size_t frames = deliveries->size();
    status = WaitForAccount(*deliveries);
    if (status.ok()) status = WaitForRoom(frames);
    if (!status.ok()) break;
    chain_.Enqueue(
        order_, *std::move(deliveries), carrier_,
        [this, frames](absl::StatusOr<std::vector<FrameOutcome>> outcomes) { Answer(std::move(outcomes), frames); });
  }
  {
    const MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
    // The sequencer holds references to this session until it has answered.
    while (processing_ > 0) changed_.wait(mutex_);
    if (status.ok()) status = ended_;
  }
  writer.join();
  return status;
}

void DeliverySession::Answer(absl::StatusOr<std::vector<FrameOutcome>> outcomes, std::size_t /*frames*/) {
  const MutexLock lock(mutex_);
  --processing_;
  if (!outcomes.ok()) {
    if (ended_.ok()) ended_ = outcomes.status();
  } else if (ended_.ok()) {
    // Behind a batch that was not processed nothing may be answered: acks are cumulative.
    answers_.push_back(*std::move(outcomes));
  }
  changed_.notify_all();
}

std::optional<pb::DeliverResponse> DeliverySession::NextAnswer() {
  std::deque<std::vector<FrameOutcome>> answers;
  absl::Status ended;
  {
    const MutexLock lock(mutex_);
    if (answers_.empty() && !closing_ && (ended_.ok() || ending_sent_)) changed_.wait_for(mutex_, kNoticePoll);
    answers.swap(answers_);
    if (answers.empty() && !ended_.ok() && !ending_sent_) {
      ended = ended_;
      ending_sent_ = true;
    }
  }
  pb::DeliverResponse response;
  if (!ended.ok()) {
    response.mutable_ending()->set_status(service::ToStatusProto(ended, "onode"));
    return response;
  }
  if (answers.empty()) return std::nullopt;
  for (const auto& outcomes : answers) {
    for (const FrameOutcome& outcome : outcomes) {
      *response.mutable_ack()->add_results() = ResultOf(outcome);
      response.mutable_ack()->set_delivery_number(outcome.number);
      if (outcome.result != FrameOutcome::Result::kRefused) to_show_.push_back(outcome.sequence);
    }
  }
  return response;
}

absl::Status DeliverySession::AddInclusions(std::uint64_t size, bool listed, pb::CheckpointNotice& notice) {
  std::deque<std::uint64_t> later;
  for (const std::uint64_t sequence : to_show_) {
    if (sequence >= size) {
      later.push_back(sequence);
      continue;
    }
    if (listed && sequence >= noticed_) continue;  // its leaf hash is in the list
    if (notice.inclusions_size() >= static_cast<int>(limits_.notice_inclusions)) {
      later.push_back(sequence);
      continue;
    }
    ASSIGN_OR_RETURN(const auto path, chain_.tree().Inclusion(sequence, size));
    pb::Inclusion& inclusion = *notice.add_inclusions();
    inclusion.set_chain_sequence(sequence);
    AddHashes(path, inclusion.mutable_path());
  }
  to_show_.swap(later);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<pb::DeliverResponse>> DeliverySession::NextNotice() {
  const auto checkpoint = chain_.latest_checkpoint();
  if (!checkpoint) return std::nullopt;
  const bool grown = checkpoint->size > noticed_;
  const bool owed = std::any_of(to_show_.begin(), to_show_.end(),
                                [&](std::uint64_t sequence) { return sequence < checkpoint->size; });
  if (!grown && !owed) return std::nullopt;
  pb::DeliverResponse response;
  pb::CheckpointNotice& notice = *response.mutable_checkpoint();
  notice.set_note(checkpoint->note);
  notice.set_first(noticed_);
  const bool listed = checkpoint->size - noticed_ <= limits_.notice_leaf_hashes;
  if (listed) {
    for (std::uint64_t at = noticed_; at < checkpoint->size; ++at) {
      ASSIGN_OR_RETURN(const Hash leaf, chain_.tree().Subtree(0, at));
      notice.mutable_leaf_hashes()->append(View(leaf));
    }
  } else {
    ASSIGN_OR_RETURN(const auto proof,
                     noticed_ == 0 ? std::vector<Hash>{} : chain_.tree().Consistency(noticed_, checkpoint->size));
    AddHashes(proof, notice.mutable_consistency());
    ASSIGN_OR_RETURN(const chain::Frontier frontier, chain_.tree().FrontierAt(checkpoint->size));
    AddFrontier(frontier, notice.mutable_frontier());
  }
  RETURN_IF_ERROR(AddInclusions(checkpoint->size, listed, notice));
  noticed_ = checkpoint->size;
  return response;
}

void DeliverySession::WriteAnswers() {
  while (true) {
    const auto answer = NextAnswer();
    if (answer && !stream_.Write(*answer)) return End(Unavailable("the deliverer left"));
    if (answer && answer->has_ack()) {
      const MutexLock lock(mutex_);
      unanswered_ -= static_cast<std::size_t>(answer->ack().results_size());
      changed_.notify_all();
    }
    auto notice = NextNotice();
    if (!notice.ok())
      End(notice.status());
    else if (*notice && !stream_.Write(**notice))
      return End(Unavailable("the deliverer left"));
    const MutexLock lock(mutex_);
    if (closing_ && answers_.empty() && processing_ == 0) return;
  }
}

void DeliverySession::End(const absl::Status& why) {
  const MutexLock lock(mutex_);
  if (ended_.ok()) ended_ = why;
  changed_.notify_all();
}

}  // namespace virp::onode
