#!/bin/sh
# Remove from a virtual environment what no run reads: tests, C++ headers, Java archives, test programs.
#   prune.sh VENV
set -eu
site=$(echo "$1"/lib/python3.*/site-packages)

find "$site" -type d \( -name tests -o -path "$site/torch/test" \) -prune -exec rm -rf {} +
find "$site" -type f \( -name '*.a' -o -path "$site/torch/bin/test_*" -o -path "$site/torch/bin/protoc*" \) -delete
# torch.compile would need the headers, and a compiler, which this image does not have.
rm -rf "$site/torch/include" "$site/pyarrow/include" "$site/ray/jars"
