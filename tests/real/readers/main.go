// What BuildKit's parser makes of Dockerfiles, its linter of their variables, and shfmt's parser of shell scripts: a JSON string a
// line in, a JSON list a line out.
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

// null where BuildKit refuses the file.
func dockerfile(text string) any {
	told, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil
	}
	found := []instruction{}
	for _, node := range told.AST.Children {
		one := instruction{strings.ToLower(node.Value), node.StartLine, node.Attributes["json"], []string{}}
		for _, heredoc := range node.Heredocs {
			one.Heredocs = append(one.Heredocs, heredoc.Content)
		}
		found = append(found, one)
	}
	return found
}

type use struct {
	Line int32  `json:"line"`
	Name string `json:"name"`
}

var named = regexp.MustCompile(`undefined variable '\$(\w+)'`)

// The variables that nobody has declared, by the line that an instruction begins at; null where BuildKit refuses the file.
func variables(text string) any {
	nothing := llb.Scratch()
	definition, err := nothing.Marshal(context.Background())
	if err != nil {
		panic(err)
	}
	source := llb.NewSourceMap(&nothing, "Dockerfile", "Dockerfile", []byte(text))
	source.Definition = definition
	platform := specs.Platform{OS: "linux", Architecture: "amd64"}
	told, err := dockerfile2llb.DockerfileLint(context.Background(), []byte(text), dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{BuildPlatforms: []specs.Platform{platform}}, TargetPlatform: &platform, SourceMap: source,
	})
	if err != nil || told.Error != nil {
		return nil
	}
	found := []use{}
	for _, warning := range told.Warnings {
		if match := named.FindStringSubmatch(warning.Detail); match != nil {
			found = append(found, use{warning.Location.Ranges[0].Start.Line, match[1]})
		}
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
	read := map[string]func(string) any{"dockerfile": dockerfile, "shell": shell, "variables": variables}[os.Args[1]]
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
