#!/bin/sh
# Writes the checksum of the input beside its name, and answers with it.
set -eu
sum=$(sha256sum <"$PENSTOCK_INPUT" | cut -d' ' -f1)
printf '%s  %s\n' "$sum" "$(basename "$PENSTOCK_INPUT")" >"$PENSTOCK_OUTPUT_DIR/sha256"
printf '{"sha256": "%s"}\n' "$sum"
