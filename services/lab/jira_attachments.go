package lab

import (
	"cmp"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

func (j *jira) attachmentRoutes() {
	j.route("POST /rest/api/2/issue/{key}/attachments", loggedIn(j.onIssue(j.attach)))
	j.route("GET /rest/api/2/attachment/{id}", loggedIn(j.readAttachment))
	j.route("DELETE /rest/api/2/attachment/{id}", loggedIn(j.deleteAttachment))
	j.route("GET /secure/attachment/{id}/{name...}", j.download)
	j.route("GET /secure/attachment/zeros/{size}", j.downloadZeros)
}

// eachFile streams the files of a multipart body into the store.
func eachFile(r *http.Request, store *files, author string) ([]Attachment, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	var added []Attachment
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return added, nil
		}
		if err != nil {
			return added, err
		}
		if part.FormName() != "file" || part.FileName() == "" {
			continue
		}
		f, err := store.add(part.FileName(), mimeOf(part), author, part)
		if err != nil {
			return added, err
		}
		added = append(added, f)
	}
}

func mimeOf(part *multipart.Part) string {
	return cmp.Or(part.Header.Get("Content-Type"), "application/octet-stream")
}

// attach needs X-Atlassian-Token; the XSRF filter has seen to it.
func (j *jira) attach(w http.ResponseWriter, r *http.Request, c call, i issue) {
	added, err := eachFile(r, j.files, c.name)
	if err != nil {
		jiraError(w, http.StatusBadRequest, "The multipart body could not be read: "+err.Error())
		return
	}
	views := []any{}
	for _, f := range added {
		views = append(views, j.fileView(f, c.base))
		j.issues.change(i.key, func(i *issue) { i.attached = append(slices.Clone(i.attached), f.ID) })
	}
	writeJSON(w, http.StatusOK, views)
}

func (j *jira) fileView(f Attachment, base string) map[string]any {
	author, _ := j.users.find(f.Author)
	return map[string]any{
		"self": base + "/rest/api/2/attachment/" + f.ID, "id": f.ID, "filename": f.Name,
		"author": userRef(author, base), "created": stamp(f.Created), "size": f.Size, "mimeType": f.MimeType,
		"properties": map[string]any{"lab.sha256": f.SHA256},
		"content":    base + "/secure/attachment/" + f.ID + "/" + url.PathEscape(f.Name),
	}
}

func (j *jira) readAttachment(w http.ResponseWriter, r *http.Request, c call) {
	f, ok := j.files.find(r.PathValue("id"))
	if !ok {
		jiraError(w, http.StatusNotFound, "The attachment with id '"+r.PathValue("id")+"' does not exist")
		return
	}
	writeJSON(w, http.StatusOK, j.fileView(f, c.base))
}

func (j *jira) deleteAttachment(w http.ResponseWriter, r *http.Request, _ call) {
	j.files.remove(r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}

// download gives a kept file back; the name is not looked at, as in Jira.
func (j *jira) download(w http.ResponseWriter, r *http.Request, c call) {
	if c.anonymous() {
		j.toLogin(w, r, c)
		return
	}
	f, ok := j.files.find(r.PathValue("id"))
	if !ok || !f.Kept {
		containerError(w, http.StatusNotFound, "The attachment does not exist, or was too large for the lab to keep")
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.MimeType)
	h.Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(f.Name))
	h.Set("Content-Length", strconv.Itoa(len(f.content)))
	_, _ = w.Write(f.content)
}

// downloadZeros streams as many zero bytes as asked for.
func (j *jira) downloadZeros(w http.ResponseWriter, r *http.Request, c call) {
	if c.anonymous() {
		j.toLogin(w, r, c)
		return
	}
	size, err := strconv.ParseInt(r.PathValue("size"), 10, 64)
	if err != nil || size < 0 {
		containerError(w, http.StatusNotFound, "Not Found")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	_, _ = io.Copy(w, io.LimitReader(constant(0), size))
}
