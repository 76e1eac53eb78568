package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	verifyv1 "virp.dev/api/verify/v1"
)

type vectors struct {
	Origin      string `json:"origin"`
	VerifierKey string `json:"verifier_key"`
	Entries     []struct {
		EntryHex string `json:"entry_hex"`
		Source   string
	} `json:"entries"`
	Inclusion []struct {
		Size, Index int
		PathHex     []string `json:"path_hex"`
	} `json:"inclusion"`
	Checkpoints []struct {
		Size int
		Note string
	} `json:"checkpoints"`
}

// load reads the project's vectors; VIRP_VECTORS names the file chain.json.
func load(t *testing.T) (vectors, note.Verifiers) {
	t.Helper()
	file := os.Getenv("VIRP_VECTORS")
	if file == "" {
		t.Skip("VIRP_VECTORS names no file")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var chains map[string]vectors
	if err := json.Unmarshal(text, &chains); err != nil {
		t.Fatal(err)
	}
	key, err := note.NewVerifier(chains["valid"].VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	return chains["valid"], note.VerifierList(key)
}

func proofOf(t *testing.T, chain vectors, size, index int) string {
	t.Helper()
	entry, _ := hex.DecodeString(chain.Entries[index].EntryHex)
	out := fmt.Sprintf("c2sp.org/tlog-proof@v1\nextra %s\nindex %d\n", base64.StdEncoding.EncodeToString(entry), index)
	for _, proof := range chain.Inclusion {
		if proof.Size == size && proof.Index == index {
			for _, text := range proof.PathHex {
				hash, _ := hex.DecodeString(text)
				out += base64.StdEncoding.EncodeToString(hash) + "\n"
			}
		}
	}
	for _, signed := range chain.Checkpoints {
		if signed.Size == size {
			return out + "\n" + signed.Note
		}
	}
	t.Fatal("no such vector")
	return ""
}

func TestVectorsHold(t *testing.T) {
	chain, trust := load(t)
	for size := 1; size <= len(chain.Entries); size++ {
		for index := 0; index < size; index++ {
			origin, entry, _, err := verifyProof(proofOf(t, chain, size, index), trust)
			if err != nil || origin != chain.Origin || entry != uint64(index) {
				t.Errorf("entry %d in %d: %s, %d, %v", index, size, origin, entry, err)
			}
		}
	}
}

func TestEveryChangedCharacterIsRefused(t *testing.T) {
	chain, trust := load(t)
	good := proofOf(t, chain, 12, 3)
	for at := range len(good) {
		for _, bad := range []string{good[:at] + string(good[at]^1) + good[at+1:], good[:at] + good[at+1:]} {
			if _, _, _, err := verifyProof(bad, trust); err == nil && bad != good {
				t.Fatalf("taken with a change at %d: %q", at, bad[max(0, at-20):min(len(bad), at+20)])
			}
		}
	}
}

func TestAnswersProveWhatTheyRestOn(t *testing.T) {
	chain, trust := load(t)
	answer := func(entries []uint64, proofs ...string) *verifyv1.ClaimAnswer {
		return &verifyv1.ClaimAnswer{Origin: chain.Origin, Verdict: verifyv1.Verdict_VERDICT_CONFIRMED, Proofs: proofs,
			Opinions: []*verifyv1.SourceOpinion{{Source: chain.Entries[3].Source, Counted: true, Says: verifyv1.SourceOpinion_SAYS_AGREES, Entries: entries}}}
	}
	three := proofOf(t, chain, 12, 3)
	if proven, err := checkAnswer(answer([]uint64{3}, three), trust); err != nil || len(proven) != 1 {
		t.Error(proven, err)
	}
	other := answer([]uint64{3}, three)
	other.Origin = "virp.example.net/other"
	stranger, nobody := answer([]uint64{3}, three), answer([]uint64{3}, three)
	stranger.Opinions[0].Source = "somebody.else"
	nobody.Opinions[0].Says = verifyv1.SourceOpinion_SAYS_DISSENTS
	for what, bad := range map[string]*verifyv1.ClaimAnswer{
		"no proof": answer([]uint64{3}), "another entry": answer([]uint64{4}, three), "one of two": answer([]uint64{3, 4}, three), "another chain": other, "no entry": answer(nil),
		"a stranger": stranger, "nobody": nobody, "nothing": {Origin: chain.Origin, Verdict: verifyv1.Verdict_VERDICT_CONFIRMED},
		"a bad proof": answer([]uint64{3}, strings.Replace(three, "index 3", "index 2", 1)),
	} {
		if _, err := checkAnswer(bad, trust); err == nil {
			t.Error("taken:", what)
		}
	}
}
