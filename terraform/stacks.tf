# One stack a region: buckets, queues, store, functions and services of their own. Nothing of a
# recording leaves its stack, so residency is the choice of the bucket it is dropped into.

locals {
  # The first stack has no key in its names: a second region renames nothing.
  stacks = merge(
    { home = { region = var.region, name = var.prefix } },
    { for key, one in var.regions : key => { region = one.region, name = "${var.prefix}-${key}" } },
  )
}

module "stack" {
  for_each = local.stacks
  source   = "./stack"

  archive        = local.archive
  gpu            = var.gpu
  images         = var.images
  name           = each.value.name
  project        = var.project
  project_number = data.google_project.this.number
  region         = each.value.region
  viewers        = var.viewers

  depends_on = [google_project_service.api]
}

data "google_project" "this" {
  project_id = var.project
}
