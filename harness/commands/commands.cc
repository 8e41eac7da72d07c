#include <array>

#include "harness/commands/command.h"

namespace dlm {

std::span<const Command> all_commands() {
  static const std::array kCommands{
      Command{"run", "evaluate a suite, or one model on one task", run_command},
      Command{"bench", "the speed of writing text, over every combination of settings",
              bench_command},
      Command{"list", "the stored runs", list_command},
      Command{"show", "one stored run: settings, results, cost", show_command},
      Command{"compare", "whether two stored runs differ", compare_command},
      Command{"gate", "whether a build may land, against a baseline", gate_command},
      Command{"plot", "stored runs as pictures, by gnuplot", plot_command},
      Command{"report", "stored runs as one HTML page", report_command},
      Command{"repro", "a paper's tables, cell by cell", repro_command},
      Command{"tag", "names for runs", tag_command},
      Command{"merge", "stores of several machines as one", merge_command},
      Command{"export", "stored rows as CSV or JSON lines", export_command},
      Command{"schedule", "variance of the NELBO over clipped noise intervals, and the best one",
              schedule_command},
      Command{"gradient", "variance of a checkpoint's training gradient, by the draw of noise",
              gradient_command},
      Command{"cost", "passes that two estimators need for the same error", cost_command},
      Command{"law", "exact distance of a sampler's text from the joint law", law_command},
      Command{"score", "score text that was produced elsewhere", score_command},
      Command{"rescore", "judge the stored outputs of a run anew, without a model",
              rescore_command},
      Command{"prompt", "the prompts of a task", prompt_command},
      Command{"sql", "a read-only query on the store", sql_command},
      Command{"generate", "text from a model", generate_command},
      Command{"draw", "documents of known law from a model, as token ids", draw_command},
      Command{"train", "a model by a recipe; goes on where it was stopped", train_command},
      Command{"forward", "raw logits, hidden states and NLL of given token ids", forward_command},
      Command{"tokenize", "text to token ids, and back", tokenize_command},
      Command{"data", "the named data sets: where they are, whether they are intact", data_command},
      Command{"doctor", "this machine: what works, how fast its matrix products are",
              doctor_command},
      Command{"selftest", "checks against worlds whose truth is known", selftest_command},
  };
  return kCommands;
}

}  // namespace dlm
