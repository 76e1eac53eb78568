// Checks every object of a rendered chart as an API server does before it stores it: decoded strictly into Kubernetes' own types,
// with defaults, through Kubernetes' own validation; and every pod against Pod Security "restricted". Custom resources are left to the
// caller.
//
//	chart-typed < manifests.yaml            a line for each object that does not fit; exit status 1 then
//	chart-typed OLD.yaml < manifests.yaml   and whether what is in OLD may be updated to it
//	chart-typed --promql < expressions.json a line for each expression of a JSON array that Prometheus would not take
//	chart-typed --fires < cases.json        what expressions give for given samples, by Prometheus' own engine (fires.go)
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	sigsyaml "sigs.k8s.io/yaml"
)

type object struct {
	kind, name string
	custom     bool
	versioned  runtime.Object // with defaults
	internal   runtime.Object
}

func (o object) key() string { return o.kind + " " + o.name }

func read(in io.Reader, report func(format string, arguments ...any)) ([]object, error) {
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewYAMLReader(bufio.NewReader(in))
	var out []object
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var head struct {
			APIVersion string                `json:"apiVersion"`
			Kind       string                `json:"kind"`
			Metadata   struct{ Name string } `json:"metadata"`
		}
		if len(bytes.TrimSpace(document)) == 0 || sigsyaml.Unmarshal(document, &head) != nil || head.Kind == "" {
			continue // comments alone; what is no YAML at all Helm has refused
		}
		found := object{kind: head.Kind, name: head.Metadata.Name}
		found.versioned, _, err = decoder.Decode(document, nil, nil)
		if runtime.IsNotRegisteredError(err) {
			found.custom = true
			out = append(out, found)
			continue
		}
		if err != nil {
			report("%s: %s", found.key(), err)
			continue
		}
		legacyscheme.Scheme.Default(found.versioned)
		found.internal, err = legacyscheme.Scheme.ConvertToVersion(found.versioned, runtime.InternalGroupVersioner)
		if err != nil {
			report("%s: %s", found.key(), err)
			continue
		}
		prepare(found.internal)
		out = append(out, found)
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--promql" {
		promQL()
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "--fires" {
		fires()
		return
	}
	wrong, checked := 0, 0
	report := func(format string, arguments ...any) {
		fmt.Println("wrong", strings.ReplaceAll(fmt.Sprintf(format, arguments...), "\n", " "))
		wrong++
	}
	objects, err := read(os.Stdin, report)
	fatal(err)
	old := map[string]object{}
	if len(os.Args) > 1 {
		file, err := os.Open(os.Args[1])
		fatal(err)
		before, err := read(file, report)
		fatal(err)
		for _, found := range before {
			old[found.key()] = found
		}
	}
	for _, found := range objects {
		if found.custom {
			fmt.Printf("custom %s\n", found.key())
			continue
		}
		checked++
		for _, err := range validate(found.internal) {
			report("%s: %s", found.key(), err)
		}
		for _, reason := range forbidden(found.versioned) {
			fmt.Printf("restricted %s: %s\n", found.key(), reason)
		}
		if before, there := old[found.key()]; there {
			for _, err := range validateUpdate(found.internal, before.internal) {
				report("update %s: %s", found.key(), err)
			}
		}
	}
	fmt.Printf("checked %d\n", checked)
	if wrong > 0 {
		os.Exit(1)
	}
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
