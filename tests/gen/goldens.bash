# make_goldens VMRPCGEN FOLDER: everything that is compared, as a tree of files. Run in tests/gen.
make_goldens() {
	local generator=$1 folder=$2 header name flags
	rm -rf "$folder"
	mkdir -p "$folder/bad" "$folder/explain"
	for name in scalars structs calls pointers; do
		"$generator" -o "$folder" "good/$name.h" -- -I../../include
	done
	"$generator" -o "$folder" --name library --sidecar good/library.sidecar.h good/library.h -- -I../../include
	for name in everything scalars structs calls pointers; do
		"$generator" --explain --suggest "good/$name.h" -- -I../../include >"$folder/explain/$name" 2>&1
	done
	"$generator" --explain --sidecar good/library.sidecar.h good/library.h -- -I../../include >"$folder/explain/library"
	# many short runs: as many at once as there are processors
	printf '%s\n' bad/*.h | GENERATOR=$generator FOLDER=$folder xargs -P "$(nproc)" -n 12 bash -c '
		for header; do
			name=$(basename "$header" .h)
			! "$GENERATOR" -o "$FOLDER/none" "$header" -- -I../../include >"$FOLDER/bad/$name" 2>&1 ||
				echo "exit status 0" >>"$FOLDER/bad/$name"
		done' -
	[ ! -e "$folder/none" ] || echo "a bad header made files" >&2
}
