package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// A scrape each minute; the last one is the instant that is asked about.
const scrape = time.Minute

// One expression and what was scraped: series as PromQL writes them, their samples oldest first.
type fireCase struct {
	Expr   string               `json:"expr"`
	Now    int64                `json:"now"` // Unix seconds
	Series map[string][]float64 `json:"series"`
}

type sample struct {
	t int64
	f float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) F() float64                    { return s.f }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// What was scraped, as Prometheus' engine reads its own storage.
type scraped []storage.Series

func (s scraped) Querier(_, _ int64) (storage.Querier, error) { return s, nil }
func (s scraped) Close() error                                { return nil }
func (s scraped) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}
func (s scraped) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}
func (s scraped) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &found{at: -1}
next:
	for _, one := range s {
		for _, matcher := range matchers {
			if !matcher.Matches(one.Labels().Get(matcher.Name)) {
				continue next
			}
		}
		set.all = append(set.all, one)
	}
	return set
}

type found struct {
	all []storage.Series
	at  int
}

func (f *found) Next() bool                        { f.at++; return f.at < len(f.all) }
func (f *found) At() storage.Series                { return f.all[f.at] }
func (f *found) Err() error                        { return nil }
func (f *found) Warnings() annotations.Annotations { return nil }

// Of a JSON array of cases, what each expression gives: a JSON array of {"labels": ..., "value": "..."} lists.
func fires() {
	var cases []fireCase
	fatal(json.NewDecoder(os.Stdin).Decode(&cases))
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 20, Timeout: time.Minute, EnableAtModifier: true})
	type result struct {
		Labels map[string]string `json:"labels"`
		Value  string            `json:"value"`
	}
	out := make([][]result, 0, len(cases))
	for _, one := range cases {
		var data scraped
		for text, values := range one.Series {
			set, err := parser.ParseMetric(text)
			fatal(err)
			var samples []chunks.Sample
			for i, value := range values {
				samples = append(samples, sample{one.Now*1000 - int64(len(values)-1-i)*scrape.Milliseconds(), value})
			}
			data = append(data, storage.NewListSeries(set, samples))
		}
		query, err := engine.NewInstantQuery(context.Background(), data, nil, one.Expr, time.Unix(one.Now, 0))
		fatal(err)
		answer := query.Exec(context.Background())
		vector, err := answer.Vector()
		fatal(err)
		results := []result{}
		for _, at := range vector {
			results = append(results, result{at.Metric.Map(), fmt.Sprint(at.F)})
		}
		out = append(out, results)
	}
	fatal(json.NewEncoder(os.Stdout).Encode(out))
}
