# The functions, as `make archive` wrote them. No archive provider: the same bytes everywhere, so
# that their hash is their name and an unchanged archive redeploys nothing.

locals {
  archive_path = "${path.root}/../dist/functions.zip"
  archive = {
    path = local.archive_path
    name = fileexists(local.archive_path) ? "functions-${filesha256(local.archive_path)}.zip" : ""
  }
}
