# The two commands of this project: `make run` (build, then the default suite) and `make test`.
# `make build` stops after building build/release/dlmbench.
.PHONY: run build test zoo setup configure-release configure-asan test-asan format format-check clean

BUILD := build/release
export DLMBENCH_DATA ?= $(abspath ../shared)

run: build
	$(BUILD)/dlmbench run

# Trains the models of models/zoo anew, two at a time, into build/zoo: draw the text first (the source is a network, so
# its entropy is known) and make the word problems, then every recipe; the ADJUST layers last, on the models just trained.
# DLMBENCH_ZOO=build/zoo:models/zoo looks each model up there first.
ZOO := build/zoo
DRAW = $(BUILD)/dlmbench draw --model data:checkpoints/stories260K/hf --length 128 --batch-size 128
TRAIN = xargs -P 2 -I RECIPE sh -c \
  '$(BUILD)/dlmbench train RECIPE --threads 1 --out $(ZOO)/$$(basename RECIPE .toml) --db $(ZOO)/training.db'
zoo: build
	@mkdir -p $(ZOO)
	@test -e $(ZOO)/stories-train.tokens.safetensors || \
	  $(DRAW) --documents 65536 --seed 1 --to $(ZOO)/stories-train.tokens.safetensors
	@test -e $(ZOO)/stories-test.tokens.safetensors || \
	  $(DRAW) --documents 1500 --seed 2 --to $(ZOO)/stories-test.tokens.safetensors
	@test -e $(ZOO)/stories-validation.tokens.safetensors || \
	  $(DRAW) --documents 512 --seed 3 --to $(ZOO)/stories-validation.tokens.safetensors
	@test -e $(ZOO)/sums/test.tokens.safetensors || \
	  ($(BUILD)/dlmbench data make word_sums --documents 60000 --seed 1 --split train --to $(ZOO)/sums && \
	   $(BUILD)/dlmbench data make word_sums --documents 512 --seed 3 --split test --to $(ZOO)/sums)
	@ls models/recipes/stories-*.toml models/recipes/sums-*.toml | grep -v -e -adjust | $(TRAIN)
	@ls models/recipes/stories-*-adjust.toml | DLMBENCH_ZOO=$(ZOO) $(TRAIN)

setup:
	@harness/setup/setup.sh

configure-release: setup
	@test -e $(BUILD)/build.ninja || cmake --preset release

build: configure-release
	@cmake --build --preset release --target dlmbench

test: configure-release
	@cmake --build --preset release
	ctest --preset release

configure-asan: setup
	@test -e build/asan/build.ninja || cmake --preset asan

test-asan: configure-asan
	@cmake --build --preset asan --target unit_tests
	ctest --preset asan

FORMATTED = $(shell git ls-files '*.h' '*.cc')
format:
	@clang-format-14 -i $(FORMATTED)

format-check: setup
	@clang-format-14 --dry-run -Werror $(FORMATTED)

clean:
	rm -rf build
