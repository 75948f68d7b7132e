#!/bin/sh
# Takes out of an installed node_modules what no running sluice reads. scripts/image-size.ts runs it too, and then loads every
# dependency of package.json, so that a pruned file that is missed shows there.
set -eu
modules=$1

# The Node that a checkout brings along: the image has its own.
rm -rf "$modules"/node-linux-* "$modules"/node-darwin-* "$modules"/node-bin-darwin-* "$modules"/node-win-* "$modules"/.bin/node
# Source maps, type declarations and TypeScript sources, documents.
find "$modules" -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.tsbuildinfo' \
  -o -iname '*.md' -o -iname '*.markdown' \) ! -iname 'license*' -delete
# Builds for browsers and phones: packages choose by the conditions of their `exports`, and Node never takes these.
find "$modules" -type d \( -name browser -o -name react-native -o -name workerd \) -path '*/dist*/*' -prune -exec rm -rf {} +
rm -rf "$modules"/@azure/msal-browser
find "$modules" -type d -empty -delete
