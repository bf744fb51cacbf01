"""Files and uploads."""

from reynard.http.base64_upload import Base64Form
from reynard.http.files import FileDeleted, FileDetails, FileList
from reynard.http.openapi.parts import Json, json, operation, parameter
from reynard.http.uploads import FileView, UrlForm


def paths() -> dict[str, Json]:
    """Path → method → operation."""
    return {
        "/v1/files/upload/stream": {"post": _upload("uploadFile", "Upload a file as a form", _form())},
        "/v1/files/upload/base64": {"post": _upload("uploadBase64", "Upload a file in base64", json(Base64Form))},
        "/v1/files/upload/url": {"post": _upload("uploadFromUrl", "Have a file fetched", json(UrlForm))},
        "/v1/files": {"get": _list_files()},
        "/v1/files/{file_id}": {
            "get": operation("getFile", "What is known of a file", json(FileDetails), ("401", "404"), [_file_id()]),
            "delete": operation("deleteFile", "Delete a file", json(FileDeleted), ("401", "404", "503"), [_file_id()]),
        },
        "/files/{token}/{name}": {"get": _read_file()},
    }


def _upload(name: str, summary: str, content: Json) -> Json:
    failures = ("400", "401", "403", "408", "413", "415", "422", "503")
    return operation(name, summary, json(FileView), failures) | {"requestBody": {"required": True, "content": content}}


def _form() -> Json:
    fields: Json = {
        "file": {"type": "string", "contentMediaType": "application/octet-stream", "description": "The bytes."},
        "file_name": {"type": "string", "maxLength": 1024},
        "auto_cleanup": {"type": "boolean", "default": True, "description": "Over the quota, the oldest files go."},
    }
    schema = {"type": "object", "properties": fields, "required": ["file"], "additionalProperties": False}
    return {"multipart/form-data": {"schema": schema}}


def _list_files() -> Json:
    parameters = [
        parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "Files a page."),
        parameter("after", "query", {"type": "string"}, "The id of the last file of the page before."),
    ]
    return operation("listFiles", "List your files, newest first", json(FileList), ("401", "422", "503"), parameters)


def _read_file() -> Json:
    """Its answers are bytes, but for the errors."""
    whole: Json = {"*/*": {}}
    parameters = [
        parameter("token", "path", {"type": "string"}, "The unguessable part of the address."),
        parameter("name", "path", {"type": "string"}, "The file's name."),
        parameter("Range", "header", {"type": "string"}, "Bytes wanted (RFC 9110 14.2)."),
    ]
    described = operation("readFile", "The bytes of a file", whole, ("404", "416", "503"), parameters)
    described["responses"]["206"] = {"description": "The bytes asked for.", "content": whole}
    described["responses"]["304"] = {"description": "The client has them already."}
    return described | {"security": []}


def _file_id() -> Json:
    return parameter("file_id", "path", {"type": "string"}, "The file's id.")
