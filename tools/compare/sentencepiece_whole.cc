// What the SentencePiece library alone makes of one text handed to it whole: tokens, time, peak memory, and the ids in a file.
//
//     g++ -O2 -std=c++17 tools/compare/sentencepiece_whole.cc -lsentencepiece -o /tmp/sentencepiece_whole
//     bible -f gen1:1-rev22:21 | sed 's/^[^ ]* //' > /tmp/kjv.txt
//     /tmp/sentencepiece_whole Tests/Fixtures/sentencepiece/bpe.model /tmp/kjv.txt 16 /tmp/ids
//
// The third argument is the length in MiB, for which the text is repeated; the fourth, if there, takes the ids as int32.
#include <sentencepiece_processor.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

int main(int count, char **arguments) {
  if (count < 4) return 2;
  sentencepiece::SentencePieceProcessor processor;
  const auto loaded = processor.Load(arguments[1]);
  std::stringstream file;
  file << std::ifstream(arguments[2]).rdbuf();
  const std::string once = file.str();
  const size_t bytes = std::strtoull(arguments[3], nullptr, 10) << 20;
  if (!loaded.ok() || once.empty()) return 1;
  std::string text;
  while (text.size() < bytes) text += once.substr(0, bytes - text.size());

  std::vector<int> ids;
  const auto start = std::chrono::steady_clock::now();
  if (!processor.Encode(text, &ids).ok()) return 1;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%zu tokens, %.2f s, %.2f MB/s, peak %ld MB\n", ids.size(), seconds, bytes / 1e6 / seconds,
              usage.ru_maxrss / 1024);
  if (count > 4) {
    std::ofstream out(arguments[4], std::ios::binary);
    out.write(reinterpret_cast<const char *>(ids.data()), static_cast<std::streamsize>(ids.size() * sizeof(int)));
  }
}
