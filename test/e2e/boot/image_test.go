package boot

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// imageName is the image of the pods and of their sandboxes. There is no registry: it is imported from a file.
const imageName = "registry.local/pod:1"

// buildImage makes DIR/image.tar, an archive as docker save makes it, with one layer that holds one program.
func buildImage(dir string) error {
	program, err := os.ReadFile(filepath.Join(dir, "pod"))
	if err != nil {
		return err
	}
	layer, err := archive(map[string][]byte{"pod": program})
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/pod"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": digest(config) + ".json", "RepoTags": []string{imageName}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	image, err := archive(map[string][]byte{"manifest.json": manifest, digest(config) + ".json": config, "layer.tar": layer})
	if err != nil {
		return fmt.Errorf("make the image of the pods: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "image.tar"), image, 0o644)
}

func archive(files map[string][]byte) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for name, content := range files {
		if err := writer.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := writer.Write(content); err != nil {
			return nil, err
		}
	}
	return buffer.Bytes(), writer.Close()
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
