// What BuildKit's parser makes of Dockerfiles, and shfmt's of shell scripts: a JSON string a line in, a JSON list a line out.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"mvdan.cc/sh/v3/syntax"
)

type instruction struct {
	Kind     string   `json:"kind"`
	Line     int      `json:"line"`
	IsArray  bool     `json:"is_array"`
	Heredocs []string `json:"heredocs"`
	Words    []string `json:"words"`
}

// null where BuildKit refuses the file.
func dockerfile(text string) any {
	told, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil
	}
	found := []instruction{}
	for _, node := range told.AST.Children {
		one := instruction{strings.ToLower(node.Value), node.StartLine, node.Attributes["json"], []string{}, []string{}}
		for word := node.Next; word != nil; word = word.Next {
			one.Words = append(one.Words, word.Value)
		}
		for _, heredoc := range node.Heredocs {
			one.Heredocs = append(one.Heredocs, heredoc.Content)
		}
		found = append(found, one)
	}
	return found
}

// The bytes at which the simple commands of a script begin; null where it is none.
func shell(text string) any {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil
	}
	found := []uint{}
	syntax.Walk(file, func(node syntax.Node) bool {
		if call, is := node.(*syntax.CallExpr); is && len(call.Args) > 0 {
			found = append(found, call.Args[0].Pos().Offset())
		}
		return true
	})
	return found
}

func main() {
	read := map[string]func(string) any{"dockerfile": dockerfile, "shell": shell}[os.Args[1]]
	lines := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var text string
		if err := json.Unmarshal(line, &text); err != nil {
			panic(err)
		}
		if err := out.Encode(read(text)); err != nil {
			panic(err)
		}
	}
}
