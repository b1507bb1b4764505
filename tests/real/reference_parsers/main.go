// Parses Dockerfiles with BuildKit's parser, their variables with BuildKit's linter, what they are built from with BuildKit's
// frontend, or shell scripts with shfmt's parser. Reads one JSON string per line and writes one JSON value per line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
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

// A registry that has every image, and records which are asked for.
type registry struct {
	mutex  sync.Mutex
	images []string
}

func (r *registry) ResolveImageConfig(_ context.Context, name string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	platform := platforms.Normalize(*opt.Platform)
	r.images = append(r.images, name+" "+platforms.Format(platform))
	config, err := json.Marshal(map[string]any{
		"os": platform.OS, "architecture": platform.Architecture, "variant": platform.Variant, "config": map[string]any{},
	})
	return name, digest.FromString(name), config, err
}

type sources struct {
	Images  []string        `json:"images"`
	Secrets map[string]bool `json:"secrets"` // whether they are required
	SSH     map[string]bool `json:"ssh"`
}

// The images, secrets and SSH keys of a build, which is JSON, on linux/amd64; null where BuildKit refuses it.
func build(text string) any {
	var request struct {
		Text, Target, Platform string
		Args                   map[string]string
	}
	if err := json.Unmarshal([]byte(text), &request); err != nil {
		panic(err)
	}
	platform, caps, images := platforms.MustParse(request.Platform), pb.Caps.CapSet(pb.Caps.All()), &registry{images: []string{}}
	outline, err := dockerfile2llb.Dockerfile2Outline(context.Background(), []byte(request.Text), dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs: request.Args, Target: request.Target, BuildPlatforms: []specs.Platform{{OS: "linux", Architecture: "amd64"}},
		},
		TargetPlatform: &platform, MetaResolver: images, LLBCaps: &caps,
	})
	if err != nil {
		return nil
	}
	result := sources{images.images, map[string]bool{}, map[string]bool{}}
	for _, secret := range outline.Secrets {
		result.Secrets[secret.Name] = secret.Required
	}
	for _, key := range outline.SSH {
		result.SSH[key.Name] = key.Required
	}
	return result
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
	parsers := map[string]func(string) any{"dockerfile": dockerfile, "shell": shell, "variables": variables, "build": build}
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
