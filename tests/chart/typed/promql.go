package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

// Of a JSON array of expressions, those that Prometheus would not take; and how many there were.
func checkPromQL(in io.Reader) (int, int) {
	var expressions []string
	text, err := io.ReadAll(in)
	fatal(err)
	fatal(json.Unmarshal(text, &expressions))
	wrong := 0
	for _, expression := range expressions {
		if _, err := parser.ParseExpr(expression); err != nil {
			fmt.Printf("wrong %q: %s\n", expression, err)
			wrong++
		}
	}
	return wrong, len(expressions)
}

func promQL() {
	wrong, checked := checkPromQL(os.Stdin)
	fmt.Printf("checked %d\n", checked)
	if wrong > 0 {
		os.Exit(1)
	}
}
