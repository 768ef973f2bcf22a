package main_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// deployed are the files that tell people how to run relay.
var deployed = []string{readme, readmeChinese, "../../CONTRIBUTING.md", "../../docs/production.md", backendGuide, "../../docker-compose.yml", "../../Dockerfile", "../../deploy/relay.service"}

var (
	variable = regexp.MustCompile(`\b(RELAY_[A-Z_]+|DATABASE_URL(_FILE)?)\b`)
	command  = regexp.MustCompile(`(?m)^(?:.*/)?relay ((?:[a-z][a-z-]* ?)+)(.*)$`)
	flag     = regexp.MustCompile(`--[a-z][a-z-]*`)
)

// TestDeployment holds what the files say to what the program takes: variables,
// commands and flags.
func TestDeployment(t *testing.T) {
	t.Parallel()
	serve := setting{}.must(t, "serve", "--help")
	commands := 0
	for _, path := range deployed {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, name := range variable.FindAllString(text, -1) {
			if !strings.Contains(serve, "$"+name) {
				t.Errorf("%s names %s, which relay serve does not read", path, name)
			}
		}
		for _, block := range strings.Split(text, "```sh\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			for _, found := range command.FindAllStringSubmatch(block, -1) {
				commands++
				checkCommand(t, path, strings.Fields(found[1]), found[2])
			}
		}
	}
	if commands < 10 {
		t.Errorf("%d commands were found", commands)
	}
}

// checkCommand asks for the help of the longest part of words that is a
// command, and for each flag in it.
func checkCommand(t *testing.T, path string, words []string, rest string) {
	t.Helper()
	if words[0] == "relay" { // docker compose exec relay /relay …
		words = words[1:]
	}
	most := map[string]int{"app": 2, "key": 2, "sim": 2}[words[0]]
	code, help, err := setting{}.run(t, append(words[:min(max(most, 1), len(words))], "--help")...)
	if code != 0 {
		t.Errorf("%s: relay %v: %s", path, words, err)
	}
	rest, _, _ = strings.Cut(rest, "#")
	for _, f := range flag.FindAllString(rest, -1) {
		if !strings.Contains(help, f) {
			t.Errorf("%s: relay %v has no flag %s", path, words, f)
		}
	}
}
