#include "tasks/jinja/jinja.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "harness/base/error.h"
#include "harness/base/file.h"
#include "tasks/chat_template.h"
#include "tasks/task.h"
#include "tests/support/data.h"

namespace dlm {
namespace {

using Messages = std::vector<ChatMessage>;

const std::vector<Messages>& conversations() {
  static const std::vector<Messages> all{
      {{"user", "Hi {{x}}"}},
      {{"system", " Be brief. "}, {"user", "2+2?"}, {"assistant", "4"}, {"user", "3+3?\n"}},
      {{"system", "s"},
       {"user", "a"},
       {"system", "b"},
       {"tool", "r1"},
       {"tool", "r2"},
       {"assistant", ""}}};
  return all;
}

std::string rendered(std::string_view source, const Json& variables) {
  return JinjaTemplate(source, "test", JinjaSetup::kPrompt).render(variables);
}

std::string error_of(std::string_view source) {
  try {
    (void)JinjaTemplate(source, "test", JinjaSetup::kChat).render({{"messages", Json::array()}});
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

// Expected: Jinja 3.1 with trim_blocks and lstrip_blocks.
TEST(ChatTemplate, TurnsWithHeadersTrimContents) {
  const ChatTemplate chat(
      "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
      "'<|' + message['role'] + '|>\n\n'+ message['content'] | trim + '<|eot|>' %}{% if "
      "loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor "
      "%}{% if add_generation_prompt %}{{ '<|assistant|>\n\n' }}{% endif %}",
      "test", {{"bos_token", "<s>"}});
  EXPECT_EQ(chat.render(conversations()[1], ChatTemplate::Generation::kPrompt),
            "<s><|system|>\n\nBe brief.<|eot|><|user|>\n\n2+2?<|eot|><|assistant|>\n\n4<|eot|>"
            "<|user|>\n\n3+3?<|eot|><|assistant|>\n\n");
}

// Expected: Jinja 3.1 with trim_blocks and lstrip_blocks.
TEST(ChatTemplate, WhiteSpaceScopesAndOperatorsAreThoseOfJinja) {
  const ChatTemplate chat(
      "{% if messages[0]['role'] == 'system' %}\n  {% set rest = messages[1:] %}\n{% else %}\n  "
      "{%- set rest = messages -%}\n{% endif %}\n{% set ns = namespace(n=0, seen=false) %}\n{% for "
      "m in rest %}\n    {% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\n        {{- '!' "
      "}}\n    {% endif %}\n    {% set ns.n = ns.n + m.content|length %}\n    [{{ loop.index }}/{{ "
      "loop.length }}{{ ' last' if loop.last }}] {{ m['content'].strip().split('?')[-1] | "
      "default('x') }}\n{%- endfor +%}\n {{ ns.n // 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 'a' ~ 1 ~ "
      "none ~ true }} {{ undefined_thing }}{# gone #}\n   {% if x is not defined and 'b' in 'abc' "
      "and not (1 in [2, 3]) %}ok{% endif %}\n\n",
      "test", {});
  EXPECT_EQ(chat.render(conversations()[0], ChatTemplate::Generation::kPrompt),
            "    [1/1 last] Hi {{x}}\n 2 -4 2 a1NoneTrue ok");
  EXPECT_EQ(chat.render(conversations()[1], ChatTemplate::Generation::kPrompt),
            "    [1/3]     [2/3] 4    [3/3 last] \n 3 -4 2 a1NoneTrue ok");
}

// Expected: SHA-256 of what Jinja 3.1 prints, joined by NUL.
TEST(ChatTemplateGolden, QwenTemplateGivesTheTextOfJinja) {
  DLM_REQUIRE_DATA("data/tokenizers/qwen2");
  const testing::TemporaryFolder folder;
  const auto source = MappedFile::open(
      testing::data_path("data/tokenizers/qwen2/Qwen2.5-7B-Instruct.chat_template.jinja"));
  write_file_atomically(folder.file("chat_template.jinja"), source->text());
  const ChatTemplate chat = ChatTemplate::from_folder(folder.path());
  std::string joined;
  for (const Messages& messages : conversations()) {
    joined += chat.render(messages, ChatTemplate::Generation::kPrompt) + '\0';
    joined += chat.render(messages, ChatTemplate::Generation::kNone) + '\0';
  }
  joined.pop_back();
  EXPECT_EQ(sha256_hex(joined), "a6748195be32bc5d7cc90a2f1ef8b830277cb19e54e670375521e1e679922f1e");
}

TEST(ChatTemplate, ComesFromTheModelsFolder) {
  const testing::TemporaryFolder folder;
  write_file_atomically(
      folder.file("tokenizer_config.json"),
      R"({"bos_token": {"content": "<s>"}, "chat_template": [{"name": "tool", "template": "t"},
          {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}]})");
  const ChatTemplate chat = ChatTemplate::from_folder(folder.path());
  EXPECT_EQ(chat.render(Messages{{"user", "hi"}}, ChatTemplate::Generation::kNone), "<s>hi");
  EXPECT_THROW(ChatTemplate::from_folder("/nowhere"), DataError);
  // As for transformers, a file of its own goes before the config's entry.
  write_file_atomically(folder.file("chat_template.jinja"), "{{ bos_token }}!");
  EXPECT_EQ(ChatTemplate::from_folder(folder.path())
                .render(Messages{{"user", "hi"}}, ChatTemplate::Generation::kNone),
            "<s>!");
}

TEST(ChatTemplate, LastAssistantTurnIsContinued) {
  const ChatTemplate chat(
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}"
      "{% if add_generation_prompt %}<assistant>{% endif %}",
      "test", {});
  EXPECT_EQ(chat_prompt(chat, Messages{{"user", "q"}}), "<user>q<end><assistant>");
  EXPECT_EQ(chat_prompt(chat, Messages{{"user", "q"}, {"assistant", "```python\n"}}),
            "<user>q<end><assistant>```python\n");
  const ChatTemplate trimming("{% for m in messages %}{{ m.content | trim }};{% endfor %}", "t",
                              {});
  EXPECT_EQ(chat_prompt(trimming, Messages{{"user", "q"}, {"assistant", " a \n"}}), "q;a");
  const ChatTemplate silent("{{ messages[0].content }}", "t", {});
  EXPECT_THROW(chat_prompt(silent, Messages{{"user", "q"}, {"assistant", "a"}}), ConfigError);
}

TEST(JinjaTemplate, PromptsKeepEveryByte) {
  EXPECT_EQ(rendered("Q: {{question}}\nA:", {{"question", "a\r\nb {{c}}"}}), "Q: a\r\nb {{c}}\nA:");
  EXPECT_EQ(
      rendered("{{test_list[0]}}\n{{ test_list[1] }}\n[BEGIN]\n", {{"test_list", {"x", "y"}}}),
      "x\ny\n[BEGIN]\n");
  EXPECT_EQ(
      rendered("{% if is_fewshot is defined %}{{code}}{% else %}-{% endif %}\n", {{"code", 1}}),
      "-\n");
}

TEST(JinjaTemplate, MissingMemberOfAPromptIsAnError) {
  EXPECT_THROW(rendered("{{question}}", Json::object()), ConfigError);
  EXPECT_THROW(rendered("{{list[3]}}", {{"list", {1}}}), ConfigError);
  EXPECT_THROW(rendered("{{'a' + b}}", Json::object()), ConfigError);
}

TEST(JinjaTemplate, WhatIsOutsideIsNamed) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"a\n{% macro f() %}{% endmacro %}", "line 2': {% macro %} is not supported"},
      {"{{ x | groupby('a') }}", "filter 'groupby'"},
      {"{{ 'a'.zfill(3) }}", "method 'zfill'"},
      {"{{ strftime_now('%d') }}", "function strftime_now()"},
      {"{% for a, b in x %}{% endfor %}", "a for with one variable"},
      {"{{ x[::2] }}", "a slice with a step"},
      {"{{ 1 is divisibleby(2) }}", "test 'divisibleby'"},
      {"{{ raise_exception('no tools') }}", "the template refuses: no tools"},
      {"{% if x %}", "'endif' is missing"},
      {"{{ 'a }}", "'}}' is missing"},
      {"{{ 1 + }}", "cannot begin an expression"},
      {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
      {"{{ 1 // 0 }}", "division by zero"},
      {"{{ messages | tojson }}", "tojson of a list"},
      {"{% set a.b = 1 %}", "not a namespace()"}};
  for (const auto& [source, what] : cases)
    EXPECT_NE(error_of(source).find(what), std::string::npos) << source << ": " << error_of(source);
}

TEST(JinjaTemplate, HostileDepthAndLengthAreRefused) {
  EXPECT_NE(error_of("{{ " + std::string(10000, '(') + "1").find("error"), 0U);
  EXPECT_NE(error_of("{{ " + std::string(10000, '(') + "1" + std::string(10000, ')') + " }}")
                .find("nested deeper"),
            std::string::npos);
  std::string blocks;
  for (int i = 0; i < 5000; ++i) blocks += "{% if true %}";
  EXPECT_NE(error_of(blocks).find("nested deeper"), std::string::npos);
  EXPECT_NE(
      error_of("{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}")
          .find("rounds of loops"),
      std::string::npos);
}

std::string repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// A chain of operators or suffixes is a tree as deep as it is long.
TEST(JinjaTemplate, HostileChainsAreRefused) {
  for (const char* link : {" ~ 'a'", " + 1", " * 1", " or 1", " and 1", ".a", "[0]", "|trim",
                           ".strip()", " is defined"}) {
    EXPECT_NE(error_of("{{ x" + repeated(link, 100000) + " }}").find("more than 1,000 parts"),
              std::string::npos)
        << link;
  }
  EXPECT_EQ(rendered("{{ 0" + repeated(" + 1", 400) + " }}", Json::object()), "400");
}

// Each doubles a value or keeps copies of one, 40 times or in every round.
TEST(JinjaTemplate, HostileGrowthIsRefused) {
  const std::string start = "{% set ns = namespace(x='aaaaaaaa', y=[1]) %}";
  const auto looped = [&](const std::string& body) {
    return error_of(start + "{% for i in range(40) %}" + body + "{% endfor %}");
  };
  for (const char* body :
       {"{% set ns.x = ns.x ~ ns.x %}", "{% set ns.x = ns.x + ns.x %}",
        "{% set ns.y = ns.y + ns.y %}", "{% set ns.x = ns.x | replace('a', ns.x) %}",
        "{% set ns.x = [ns.x, ns.x] | join %}",
        "{% set ns.y = (ns.x ~ ns.x).split('a') | join('aa') %}"
        "{% set ns.x = ns.y %}"})
    EXPECT_NE(looped(body).find("more than 64 MiB"), std::string::npos) << body;
  const std::string big = "{% for i in range(22) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
  std::string copies = start + big;
  for (int i = 0; i < 10; ++i) copies += fmt::format("{{% set a{} = ns.x %}}", i);
  EXPECT_NE(error_of(copies).find("more than 256 MiB"), std::string::npos);
  EXPECT_NE(error_of(start + big + "{{ [" + repeated("ns.x, ", 300) + "] }}").find("64 MiB"),
            std::string::npos);
  EXPECT_NE(error_of(start + "{% for i in range(9999) %}{% set ns.y = [ns.y] %}{% endfor %}")
                .find("nested deeper"),
            std::string::npos);
  EXPECT_NE(error_of(start + "{% for i in range(9999) %}{% set ns.z = ns %}{% endfor %}")
                .find("nested deeper"),
            std::string::npos);
}

// What a loop's rounds set is gone after each: it does not add up to a limit.
TEST(JinjaTemplate, LongConversationsStayWithinTheLimits) {
  Json messages = Json::array();
  for (int i = 0; i < 300; ++i) messages.push_back({{"content", std::string(20000, 'x')}});
  const std::string text = rendered(
      "{% set all = messages %}{% for m in all %}{% for k in range(60) %}"
      "{% set c = m.content ~ '.' %}{% endfor %}{{ m.content }}{% endfor %}",
      {{"messages", messages}});
  EXPECT_EQ(text.size(), 300U * 20000U);
}

}  // namespace
}  // namespace dlm
