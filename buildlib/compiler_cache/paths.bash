# A text with names in the place of the paths of this machine, and the other way around.
named() { text=$1; for n in "${!paths[@]}"; do text=${text//"${paths[n]}"/"${names[n]}"}; done; }
placed() { text=$1; for n in "${!paths[@]}"; do text=${text//"${names[n]}"/"${paths[n]}"}; done; }
