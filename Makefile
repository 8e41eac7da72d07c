# The two commands of this project: `make run` (build, then the default suite) and `make test`.
# `make build` stops after building build/release/dlmbench.
.PHONY: run build test setup configure-release configure-asan test-asan format format-check clean

BUILD := build/release
export DLMBENCH_DATA ?= $(abspath ../shared)

run: build
	$(BUILD)/dlmbench run

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
