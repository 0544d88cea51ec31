
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
L
@type.googleapis.com/gatehouse.config.v1.GroupRequirementSwitched
jira
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden