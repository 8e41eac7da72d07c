// Cuts a template into texts and tags, and a tag into words; see jinja.h for the language.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dlm::jinja {

enum class PieceKind { kText, kOutput, kBlock };

// A text as it is printed, or what stands inside {{ }} or {% %}. Comments are gone, and white space
// that the tags take away too.
struct Piece {
  PieceKind kind = PieceKind::kText;
  std::string text;
  std::size_t line = 1;
};

enum class TrimBlocks { kYes, kNo };

std::vector<Piece> cut_pieces(std::string_view source, std::string_view name, TrimBlocks trim);

enum class WordKind { kName, kString, kInteger, kReal, kSign, kEnd };

struct Word {
  WordKind kind = WordKind::kEnd;
  std::string text;  // of a string: unescaped
};

// The words of one tag, with a kEnd after the last.
std::vector<Word> cut_words(const Piece& tag, std::string_view name);

}  // namespace dlm::jinja
