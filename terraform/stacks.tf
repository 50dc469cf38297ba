# One stack a region: buckets, queues, store, functions and services of their own. Nothing of a
# recording leaves its stack, so residency is the choice of the bucket it is dropped into.

locals {
  # The first stack has no key in its names: a second region renames nothing.
  stacks = merge(
    { home = { region = var.region, name = var.prefix, edge = var.edge } },
    { for key, one in var.regions : key => {
      region = one.region
      name   = "${var.prefix}-${key}"
      # Each stack has its own door: KEY.DOMAIN.
      edge = var.edge == null ? null : merge(var.edge, { domain = "${key}.${var.edge.domain}" })
    } },
  )
}

module "stack" {
  for_each = local.stacks
  source   = "./stack"

  archive            = local.archive
  archive_after_days = var.archive_after_days
  audit              = var.audit
  cascade            = var.cascade
  channels           = [for one in google_monitoring_notification_channel.email : one.id]
  cmek               = var.cmek
  delete_protection  = var.delete_protection
  edge               = each.value.edge
  engines            = var.engines
  gpu                = var.gpu
  high_min_instances = var.high_min_instances
  images             = var.images
  measurements_days  = var.measurements_days
  name               = each.value.name
  openai             = var.openai
  project            = var.project
  project_number     = data.google_project.this.number
  region             = each.value.region
  soft_delete_s      = tonumber(trimsuffix(var.soft_delete, "s"))
  tenants            = { for id, one in var.tenants : id => { tier = one.tier, writers = one.writers } if one.stack == each.key }
  vector_dimension   = var.vector_dimension
  viewers            = var.viewers
  vpc                = var.vpc
  zonal_redundancy   = var.zonal_redundancy

  # Roles are given to Google's agents in there: the agents come first (agents.tf).
  depends_on = [
    data.google_bigquery_default_service_account.this,
    google_project_iam_member.agent,
    google_project_iam_member.storage_agent,
    google_project_service.api,
    google_workload_identity_service_agent.agent,
  ]
}

data "google_project" "this" {
  project_id = var.project
}
