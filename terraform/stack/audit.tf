# Our own workloads: the project's audit log leaves their everyday traffic in the store out
# (../audit.tf).

output "workloads" {
  description = "IAM members of everything that runs in this stack."
  value       = concat([local.identities.gateway, local.identities.service], [for one in module.function : one.member])
}
