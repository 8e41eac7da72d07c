#include "models/training/recipe.h"

#include <functional>

#include <gtest/gtest.h>

#include "harness/base/error.h"

namespace dlm {
namespace {

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

std::string parse_refusal(const std::string& toml) {
  return refusal([&] { (void)parse_recipe(toml, "r.toml"); });
}

TrainRecipe valid() {
  TrainRecipe recipe;
  recipe.block_size = 4;
  recipe.steps = 1;
  recipe.data.source = "draws:markov";
  return recipe;
}

std::string check_refusal(const std::function<void(TrainRecipe&)>& change) {
  TrainRecipe recipe = valid();
  change(recipe);
  return refusal([&] { check_recipe(recipe); });
}

TEST(Recipe, ReadsEveryPart) {
  const TrainRecipe recipe = parse_recipe(
      "objective = 'bd3lm'\nblock_size = 8\nsteps = 100\nlearning_rate = 1e-3\n"
      "[model]\nlength = 64\nhidden_size = 32\n[noise]\nsearch = true\nlow = 0.3\n"
      "[data]\nsource = 'tokens:a.safetensors'\nvalidation = 'tokens:b.safetensors'\n",
      "r.toml");
  EXPECT_EQ(recipe.block_size, 8);
  EXPECT_EQ(recipe.model.hidden_size, 32);
  EXPECT_EQ(recipe.noise.low, 0.3);
  EXPECT_TRUE(recipe.noise.search);
  EXPECT_EQ(recipe.data.validation, "tokens:b.safetensors");
  EXPECT_EQ(recipe.learning_rate, 1e-3);
  EXPECT_EQ(recipe.beta2, 0.999);
  EXPECT_NO_THROW(check_recipe(recipe));
}

TEST(Recipe, RefusesUnknownKeysAndBadValues) {
  EXPECT_EQ(parse_refusal("learning_rat = 1\n"),
            "r.toml: key = 'learning_rat': unknown; did you mean 'learning_rate'?");
  EXPECT_NE(parse_refusal("[model]\nwidth = 1\n").find("r.toml: key = 'model.width': unknown"),
            std::string::npos);
  EXPECT_NE(parse_refusal("objective = 'gpt'\n").find("one of ar, mdlm, sedd, bd3lm, adjust"),
            std::string::npos);
  EXPECT_NE(parse_refusal("beta2 = 1.0\n").find("beta2"), std::string::npos);
  EXPECT_NE(parse_refusal("steps = 'many'\n").find("steps"), std::string::npos);
  EXPECT_NE(parse_refusal("steps = \n").find("r.toml"), std::string::npos);
  EXPECT_NE(parse_refusal("hidden_size = 8\n").find("hidden_size"), std::string::npos);
}

TEST(Recipe, ReadsAnAdjustLayer) {
  const TrainRecipe recipe = parse_recipe(
      "objective = 'adjust'\nsteps = 10\n[model]\nlength = 64\n[adjust]\nbase = 'zoo:m'\n"
      "depth = 7\nloss = 'last'\npolicy = 'random'\ntrajectories = 5\n"
      "[data]\nsource = 'tokens:a.safetensors'\n",
      "r.toml");
  EXPECT_EQ(recipe.adjust.base, "zoo:m");
  EXPECT_EQ(recipe.adjust.depth, 7);
  EXPECT_EQ(recipe.adjust.loss, "last");
  EXPECT_EQ(recipe.adjust.prompt_tokens, 1);
  EXPECT_NO_THROW(check_recipe(recipe));
  EXPECT_NE(parse_refusal("[adjust]\nloss = 'first'\n").find("one of all, last"),
            std::string::npos);
  EXPECT_NE(parse_refusal("[adjust]\nnext_share = 1.5\n").find("next_share"), std::string::npos);
  EXPECT_NE(parse_refusal("[adjust]\ndepth = 0\n").find("depth"), std::string::npos);
  EXPECT_NE(parse_refusal("[adjust]\ntemperature = 0.0\n").find("temperature"), std::string::npos);
}

TEST(Recipe, RefusesAdjustSettingsThatDoNotGoTogether) {
  const auto adjust = [](TrainRecipe& r) {
    r.objective = "adjust";
    r.adjust.base = "zoo:m";
    r.block_size = 0;
  };
  EXPECT_EQ(check_refusal(adjust), "accepted");
  const auto refuses = [&](const std::function<void(TrainRecipe&)>& change, const char* field) {
    const std::string message = check_refusal([&](TrainRecipe& r) {
      adjust(r);
      change(r);
    });
    EXPECT_TRUE(message.starts_with(field)) << message;
  };
  refuses([](TrainRecipe& r) { r.adjust.base.clear(); }, "adjust.base");
  refuses([](TrainRecipe& r) { r.model.layers = 2; }, "model");
  refuses([](TrainRecipe& r) { r.dtype = "bf16"; }, "dtype");
  refuses([](TrainRecipe& r) { r.noise.low = 0.5; }, "noise");
  refuses([](TrainRecipe& r) { r.objective = "mdlm"; }, "adjust.base");
}

TEST(Recipe, RefusesSettingsThatDoNotGoTogether) {
  EXPECT_EQ(refusal([] { check_recipe(valid()); }), "accepted");
  const auto refuses = [](const std::function<void(TrainRecipe&)>& change, const char* field) {
    const std::string message = check_refusal(change);
    EXPECT_TRUE(message.starts_with(field)) << message;
  };
  refuses([](TrainRecipe& r) { r.data.source.clear(); }, "data.source");
  refuses([](TrainRecipe& r) { r.steps = 0; }, "steps");
  refuses([](TrainRecipe& r) { r.model.heads = 3; }, "model.heads");
  refuses([](TrainRecipe& r) { r.model.heads = 128; }, "model.heads");
  refuses([](TrainRecipe& r) { r.block_size = 3; }, "block_size");
  refuses([](TrainRecipe& r) { r.block_size = 0; }, "block_size");
  refuses([](TrainRecipe& r) { r.objective = "mdlm"; }, "block_size");
  refuses([](TrainRecipe& r) { r.noise.low = 0.9, r.noise.high = 0.5; }, "noise.high");
  refuses([](TrainRecipe& r) { r.noise.resample = true, r.noise.draw = "counts"; },
          "noise.resample");
  const auto autoregressive = [](TrainRecipe& r) {
    r.objective = "ar";
    r.block_size = 0;
  };
  EXPECT_EQ(check_refusal(autoregressive), "accepted");
  refuses(
      [&](TrainRecipe& r) {
        autoregressive(r);
        r.noise.low = 0.5;
      },
      "noise");
  refuses(
      [](TrainRecipe& r) {
        r.data.source = "tokens:a";
        r.noise.search = true;
      },
      "noise.search");
}

}  // namespace
}  // namespace dlm
