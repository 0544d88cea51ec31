
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
F
4type.googleapis.com/gatehouse.config.v1.NodeAttached
jiraa node
B
4type.googleapis.com/gatehouse.config.v1.NodeAttached

jiran2
G
3type.googleapis.com/gatehouse.config.v1.NodeDrained
jiraa node
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden