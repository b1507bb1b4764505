// Parses Dockerfiles with BuildKit's parser, their variables with BuildKit's linter, or shell scripts with shfmt's parser. Reads
// one JSON string per line and writes one JSON list per line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
	"mvdan.cc/sh/v3/syntax"
)

type instruction struct {
	Kind     string   `json:"kind"`
	Line     int      `json:"line"`
	IsArray  bool     `json:"is_array"`
	Heredocs []string `json:"heredocs"`
}

// The instructions of a Dockerfile; null where BuildKit refuses the file.
func dockerfile(text string) any {
	result, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil
	}
	instructions := []instruction{}
	for _, node := range result.AST.Children {
		current := instruction{strings.ToLower(node.Value), node.StartLine, node.Attributes["json"], []string{}}
		for _, heredoc := range node.Heredocs {
			current.Heredocs = append(current.Heredocs, heredoc.Content)
		}
		instructions = append(instructions, current)
	}
	return instructions
}

type use struct {
	Line int32  `json:"line"`
	Name string `json:"name"`
}

var undefined = regexp.MustCompile(`undefined variable '\$(\w+)'`)

// The undefined variables, each with the first line of the instruction that uses it; null where BuildKit refuses the file.
func variables(text string) any {
	scratch := llb.Scratch()
	definition, err := scratch.Marshal(context.Background())
	if err != nil {
		panic(err)
	}
	source := llb.NewSourceMap(&scratch, "Dockerfile", "Dockerfile", []byte(text))
	source.Definition = definition
	platform := specs.Platform{OS: "linux", Architecture: "amd64"}
	result, err := dockerfile2llb.DockerfileLint(context.Background(), []byte(text), dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{BuildPlatforms: []specs.Platform{platform}}, TargetPlatform: &platform, SourceMap: source,
	})
	if err != nil || result.Error != nil {
		return nil
	}
	uses := []use{}
	for _, warning := range result.Warnings {
		if match := undefined.FindStringSubmatch(warning.Detail); match != nil {
			uses = append(uses, use{warning.Location.Ranges[0].Start.Line, match[1]})
		}
	}
	return uses
}

// The byte offsets at which the simple commands of a script begin; null where shfmt refuses the script.
func shell(text string) any {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil
	}
	offsets := []uint{}
	syntax.Walk(file, func(node syntax.Node) bool {
		if call, ok := node.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			offsets = append(offsets, call.Args[0].Pos().Offset())
		}
		return true
	})
	return offsets
}

func main() {
	parsers := map[string]func(string) any{"dockerfile": dockerfile, "shell": shell, "variables": variables}
	parse := parsers[os.Args[1]]
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
		if err := out.Encode(parse(text)); err != nil {
			panic(err)
		}
	}
}
