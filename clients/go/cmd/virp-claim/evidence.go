package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	verifyv1 "virp.dev/api/verify/v1"
)

// readTrust takes verifier keys from a file, one on a line; those that begin with # are skipped.
func readTrust(file string) (note.Verifiers, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var keys []note.Verifier
	for _, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no verifier key in it", file)
	}
	return note.VerifierList(keys...), nil
}

// checkpoint is what a signed note says: origin, size, root (docs/formats/chain.md, "Checkpoint").
type checkpoint struct {
	origin string
	size   int64
	root   tlog.Hash
}

func openCheckpoint(text string, trust note.Verifiers) (checkpoint, error) {
	signed, err := note.Open([]byte(text), trust)
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return checkpoint{}, errors.New("checkpoint: not the three lines origin, size, root")
	}
	byOrigin := false
	for _, signature := range signed.Sigs {
		byOrigin = byOrigin || signature.Name == lines[0]
	}
	if !byOrigin {
		return checkpoint{}, errors.New("checkpoint: not signed by the chain's own key")
	}
	size, err := decimal(lines[1])
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint: size: %w", err)
	}
	out := checkpoint{origin: lines[0], size: size}
	return out, decodeHash(lines[2], &out.root)
}

func decimal(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 || strconv.FormatInt(number, 10) != text {
		return 0, fmt.Errorf("%q is no decimal number in its one spelling", text)
	}
	return number, nil
}

func decodeHash(text string, hash *tlog.Hash) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(hash) {
		return fmt.Errorf("%q is no hash", text)
	}
	copy(hash[:], raw)
	return nil
}

// verifyProof checks a proof file (C2SP tlog-proof): the checkpoint's signature, that the entry is in its tree, and that the entry names
// this chain and this place. It returns the origin of the chain, and number and source of the entry: 8 bytes of the hash of its name.
func verifyProof(text string, trust note.Verifiers) (string, uint64, [8]byte, error) {
	var source [8]byte
	head, signed, found := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 3 || len(lines) > 66 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return "", 0, source, errors.New("proof: not a c2sp.org/tlog-proof@v1 file")
	}
	extra, hasExtra := strings.CutPrefix(lines[1], "extra ")
	number, hasIndex := strings.CutPrefix(lines[2], "index ")
	if !hasExtra || !hasIndex {
		return "", 0, source, errors.New("proof: no entry, or no index")
	}
	entry, err := base64.StdEncoding.Strict().DecodeString(extra)
	if err != nil || len(entry) < 128 {
		return "", 0, source, errors.New("proof: its extra line is no entry")
	}
	index, err := decimal(number)
	if err != nil {
		return "", 0, source, fmt.Errorf("proof: index: %w", err)
	}
	path := make(tlog.RecordProof, len(lines)-3)
	for i, line := range lines[3:] {
		if err := decodeHash(line, &path[i]); err != nil {
			return "", 0, source, fmt.Errorf("proof: %w", err)
		}
	}
	tree, err := openCheckpoint(signed, trust)
	if err != nil {
		return "", 0, source, err
	}
	if index >= tree.size {
		return "", 0, source, errors.New("proof: the entry is not below the checkpoint's size")
	}
	if err := tlog.CheckRecord(path, tree.size, tree.root, index, tlog.RecordHash(entry)); err != nil {
		return "", 0, source, fmt.Errorf("proof of entry %d: %w", index, err)
	}
	origin := sha256.Sum256([]byte(tree.origin))
	if !bytes.HasPrefix(entry, []byte("onode/1\n")) || !bytes.Equal(entry[8:24], origin[:16]) || binary.BigEndian.Uint64(entry[24:32]) != uint64(index) {
		return "", 0, source, errors.New("proof: the entry is of another chain or of another place")
	}
	return tree.origin, uint64(index), [8]byte(entry[72:80]), nil
}

// checkAnswer verifies every proof of an answer, and of one that is CONFIRMED that each agreeing source's word is proven, by an entry of
// its own first. It returns the numbers of the proven entries.
func checkAnswer(answer *verifyv1.ClaimAnswer, trust note.Verifiers) ([]uint64, error) {
	named := map[uint64]bool{}
	for _, opinion := range answer.GetOpinions() {
		for _, entry := range opinion.GetEntries() {
			named[entry] = true
		}
	}
	sources, proven := map[uint64][8]byte{}, []uint64{}
	for _, text := range answer.GetProofs() {
		origin, entry, source, err := verifyProof(text, trust)
		if err != nil {
			return nil, err
		}
		if origin != answer.GetOrigin() || !named[entry] {
			return nil, fmt.Errorf("the proof of entry %d of %s is not what the answer rests on", entry, origin)
		}
		sources[entry] = source
		proven = append(proven, entry)
	}
	if answer.GetVerdict() != verifyv1.Verdict_VERDICT_CONFIRMED {
		return proven, nil
	}
	agreeing := 0
	for _, opinion := range answer.GetOpinions() {
		if !opinion.GetCounted() || opinion.GetSays() != verifyv1.SourceOpinion_SAYS_AGREES {
			continue
		}
		agreeing++
		name := sha256.Sum256([]byte(opinion.GetSource()))
		for i, entry := range opinion.GetEntries() {
			source, found := sources[entry]
			if !found || (i == 0 && source != [8]byte(name[:8])) {
				return nil, fmt.Errorf("entry %d, what %s says, is not proven", entry, opinion.GetSource())
			}
		}
		if len(opinion.GetEntries()) == 0 {
			return nil, fmt.Errorf("%s says so by no entry", opinion.GetSource())
		}
	}
	if agreeing == 0 {
		return nil, errors.New("CONFIRMED by nobody")
	}
	return proven, nil
}
