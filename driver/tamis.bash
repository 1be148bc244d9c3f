# Completion of tamis for bash.
_tamis() {
  local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[1]}
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W \
      "build run bench check import show sweep targets --help --version" -- "$cur")
    return
  fi
  case $cur in
  -*)
    local options
    options=$("${COMP_WORDS[0]}" "$cmd" --help 2>/dev/null |
      sed -n 's/^  -OLEVEL .*/-O0\n-O1\n-O2\n-O3\n-Os/p; t
        s/^  \(-[-A-Za-z]*=\{0,1\}\).*/\1/p')
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
    ;;
  *)
    mapfile -t COMPREPLY < <(compgen -f -X '!*.@(tam|onnx|tflite|so)' -- "$cur"
      compgen -d -- "$cur")
    ;;
  esac
}
complete -o filenames -F _tamis tamis
