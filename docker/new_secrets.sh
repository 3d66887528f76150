#!/bin/sh
# Write docker/.env with random passwords and a random Ray token, readable by its owner only.
# An existing one stays: the databases were made with its passwords.
set -eu
target=$(dirname "$0")/.env

if [ -e "$target" ]; then
    echo "$target exists, left as it is" >&2
    exit 0
fi
umask 077
for name in POSTGRES_PASSWORD MLFLOW_PASSWORD STUDY_PASSWORD RAY_AUTH_TOKEN; do
    printf '%s=%s\n' "$name" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
done > "$target.new"
mv "$target.new" "$target"
echo "wrote $target" >&2
